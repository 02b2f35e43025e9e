-- Times are milliseconds since 1970. An element is one row from its push to its end; only its state changes.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    -- 0 waiting, 1 in flight, 2 delayed, 3 dead
    state INTEGER NOT NULL,
    -- Waiting: from the list's left to its right. In flight: when the lease runs out. Delayed: when it is due.
    -- Dead: from the oldest to the newest.
    rank INTEGER NOT NULL,
    -- The producer's id, or a hash of the element.
    key TEXT NOT NULL,
    user TEXT NOT NULL,
    -- The claim that holds the job, or that delayed it.
    claim TEXT,
    worker TEXT,
    -- In flight: of this claim, more than the allowed ones where they were used up. Dead: attempts made.
    attempt INTEGER,
    -- In flight: when it was claimed. Dead: since when.
    since_ms INTEGER,
    code TEXT,
    message TEXT,
    element TEXT NOT NULL
);
CREATE INDEX jobs_by_rank ON jobs (queue, state, rank, claim);
CREATE UNIQUE INDEX jobs_by_claim ON jobs (queue, claim) WHERE claim IS NOT NULL;
CREATE INDEX jobs_by_key ON jobs (queue, key, state);

CREATE TABLE tries (
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;

-- Kinds: 0 settled claims, 1 claims that were taken back, 2 ids pushed once, 3 cancelled jobs.
CREATE TABLE remembered (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    until_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX remembered_by_name ON remembered (queue, kind, name);
CREATE INDEX remembered_by_time ON remembered (until_ms);

CREATE TABLE served (
    queue TEXT NOT NULL,
    user TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, user)
) WITHOUT ROWID;
CREATE INDEX served_by_time ON served (queue, at_ms);

CREATE TABLE callbacks (
    -- Ascending with the time at which the row began to wait, or was given up.
    seq INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    dead INTEGER NOT NULL,
    id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    last_error TEXT,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX callbacks_by_id ON callbacks (queue, dead, id);
CREATE INDEX callbacks_by_time ON callbacks (queue, dead, due_ms, id);

CREATE TABLE queues (
    queue TEXT PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    -- Why callbacks are not delivered; null while they are.
    callbacks_stopped TEXT
) WITHOUT ROWID;
