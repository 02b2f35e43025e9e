//! Reading both directions of the Redis protocol out of a byte buffer.

use crate::Reply;

/// A request's words, the command's name first.
pub(crate) type Words = Vec<Vec<u8>>;

/// One request from the front of `buffer` and the bytes it took. `None`: it is not complete yet.
/// An inline request (`PING\r\n`) is words between spaces. The error is Redis's text.
pub(crate) fn request(buffer: &[u8]) -> Result<Option<(Words, usize)>, String> {
    let Some((head, mut at)) = head(buffer) else { return Ok(None) };
    if head.first() != Some(&b'*') {
        let words = head.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        return Ok(Some((words.map(<[u8]>::to_vec).collect(), at)));
    }
    let count = length(&head[1..]).ok_or("ERR Protocol error: invalid multibulk length")?.max(0);
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((head, used)) = self::head(&buffer[at..]) else { return Ok(None) };
        let mark = head.first().copied().unwrap_or(b' ');
        if mark != b'$' {
            return Err(format!("ERR Protocol error: expected '$', got '{}'", mark as char));
        }
        let size = length(&head[1..]).filter(|size| *size >= 0);
        let size = size.ok_or("ERR Protocol error: invalid bulk length")? as usize;
        let start = at + used;
        if buffer.len() < start + size + 2 {
            return Ok(None);
        }
        words.push(buffer[start..start + size].to_vec());
        at = start + size + 2;
    }
    Ok(Some((words, at)))
}

/// One reply from the front of `buffer` and the bytes it took. `None`: it is not complete yet.
pub(crate) fn reply(buffer: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    let Some((head, at)) = head(buffer) else { return Ok(None) };
    let (mark, rest) = head.split_first().ok_or("an empty line instead of a reply")?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    let wrong = || format!("not a reply: {:?}", String::from_utf8_lossy(head));
    let number = || length(rest).ok_or_else(wrong);
    Ok(match mark {
        b'+' => Some((Reply::Status(text()), at)),
        b'-' => Some((Reply::Error(text()), at)),
        b':' => Some((Reply::Int(number()?), at)),
        b'_' => Some((Reply::Nil, at)),
        b'#' => Some((Reply::Bool(rest == b"t"), at)),
        b',' => Some((Reply::Double(text().parse().map_err(|_| wrong())?), at)),
        b'$' | b'=' => match number()? {
            size if size < 0 => Some((Reply::Nil, at)),
            size => {
                let end = at + size as usize;
                (buffer.len() >= end + 2).then(|| (Reply::Bulk(buffer[at..end].to_vec()), end + 2))
            }
        },
        b'*' | b'~' | b'>' => match number()? {
            count if count < 0 => Some((Reply::NilArray, at)),
            count => many(buffer, at, count)?.map(|(items, end)| {
                let reply = match mark {
                    b'*' => Reply::Array(items),
                    b'~' => Reply::Set(items),
                    _ => Reply::Push(items),
                };
                (reply, end)
            }),
        },
        b'%' => many(buffer, at, number()? * 2)?.map(|(items, end)| {
            let pairs = items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            (Reply::Map(pairs.collect()), end)
        }),
        _ => return Err(wrong()),
    })
}

fn many(buffer: &[u8], mut at: usize, count: i64) -> Result<Option<(Vec<Reply>, usize)>, String> {
    let mut items = Vec::new();
    for _ in 0..count {
        let Some((item, used)) = reply(&buffer[at..])? else { return Ok(None) };
        items.push(item);
        at += used;
    }
    Ok(Some((items, at)))
}

/// The first line without its end, and the bytes it took with it.
fn head(buffer: &[u8]) -> Option<(&[u8], usize)> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let line = &buffer[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

fn length(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
