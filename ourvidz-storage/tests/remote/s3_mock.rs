//! An S3 server, path-style, as far as a store of files meets it. It checks that requests are signed and that
//! the signed hash is that of the content, but not the signature itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Response as HttpResponse};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use ourvidz_storage::StorageKey;
use ourvidz_storage::conformance::{Held, Observer};
use percent_encoding::percent_decode_str;

use crate::server::Backend;

pub(crate) const ID: &str = "id-of-the-access-key";
const MODIFIED: &str = "Fri, 21 Aug 2026 12:00:00 GMT";
const SMALLEST_PART: usize = 5 << 20;

type Name = (String, String);

#[derive(Default)]
pub(crate) struct S3(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) buckets: BTreeSet<String>,
    pub(crate) objects: BTreeMap<Name, (String, Bytes)>,
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// Seconds since the server began; signed URLs are taken to be of its begin.
    pub(crate) now: u64,
    counter: u64,
}

pub(crate) struct Upload {
    name: Name,
    content_type: String,
    parts: BTreeMap<u32, Bytes>,
}

impl S3 {
    pub(crate) fn new() -> Self {
        let s3 = Self::default();
        s3.state().buckets.extend(["workspace-temp".to_owned(), "results".to_owned()]);
        s3
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Observer for S3 {
    fn held(&self, key: &StorageKey) -> Option<Held> {
        let name = (key.bucket().to_owned(), key.path().to_owned());
        self.state()
            .objects
            .get(&name)
            .map(|(content_type, bytes)| Held::new(bytes, Some(content_type.clone())))
    }
}

pub(crate) fn error_body(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>because</Message>\
         <RequestId>1</RequestId></Error>"
    )
}

fn reply(status: u16, body: impl Into<Body>) -> Response {
    HttpResponse::builder().status(status).body(body.into()).unwrap()
}

fn error(status: u16, code: &str) -> Response {
    reply(status, error_body(code))
}

fn header<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Held::new(bytes, None).sha256[..32])
}

impl Backend for S3 {
    fn handle(&self, head: &Parts, body: Bytes, fault: Option<&'static str>) -> Response {
        let mut state = self.state();
        let url = url::Url::parse(&format!("http://s3{}", head.uri)).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        if let Some(refused) = refuse(head, &body, &query, state.now) {
            return refused;
        }
        let path = percent_decode_str(head.uri.path().trim_start_matches('/')).decode_utf8().unwrap();
        let Some((bucket, name)) = path.split_once('/') else { return error(405, "MethodNotAllowed") };
        if !state.buckets.contains(bucket) {
            return if head.method == Method::HEAD { reply(404, "") } else { error(404, "NoSuchBucket") };
        }
        let name = (bucket.to_owned(), name.to_owned());
        let state = &mut *state;
        match (&head.method, query.get("uploadId")) {
            (&Method::POST, None) if query.contains_key("uploads") => {
                state.create(name, header(head, "content-type"))
            }
            (&Method::PUT, Some(id)) => match state.uploads.get_mut(id) {
                None => error(404, "NoSuchUpload"),
                Some(upload) => {
                    let tag = etag(&body);
                    upload.parts.insert(query["partNumber"].parse().unwrap(), body);
                    HttpResponse::builder().header("etag", tag).body(Body::empty()).unwrap()
                }
            },
            (&Method::POST, Some(_)) if fault == Some("200 with an error") => error(200, "InternalError"),
            (&Method::POST, Some(id)) => state.complete(id, std::str::from_utf8(&body).unwrap()),
            (&Method::DELETE, Some(id)) => match state.uploads.remove(id) {
                Some(_) => reply(204, ""),
                None => error(404, "NoSuchUpload"),
            },
            (&Method::PUT, None) => {
                let tag = etag(&body);
                state.objects.insert(name, (header(head, "content-type").to_owned(), body));
                HttpResponse::builder().header("etag", tag).body(Body::empty()).unwrap()
            }
            (&Method::DELETE, None) => {
                state.objects.remove(&name);
                reply(204, "")
            }
            (&Method::GET | &Method::HEAD, None) => match state.objects.get(&name) {
                None if head.method == Method::HEAD => reply(404, ""),
                None => error(404, "NoSuchKey"),
                Some((content_type, bytes)) => {
                    let reply = HttpResponse::builder()
                        .header("content-type", content_type)
                        .header("content-length", bytes.len())
                        .header("last-modified", MODIFIED)
                        .header("etag", etag(bytes));
                    let body = if head.method == Method::HEAD { Body::empty() } else { bytes.clone().into() };
                    reply.body(body).unwrap()
                }
            },
            _ => error(405, "MethodNotAllowed"),
        }
    }
}

fn refuse(head: &Parts, body: &[u8], query: &BTreeMap<String, String>, now: u64) -> Option<Response> {
    if query.contains_key("X-Amz-Signature") {
        let expires: u64 = query["X-Amz-Expires"].parse().unwrap();
        return (now >= expires).then(|| error(403, "AccessDenied"));
    }
    let signed = header(head, "authorization");
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=") || !signed.contains("Signature=") {
        return Some(error(403, "AccessDenied"));
    }
    if !signed.contains(&format!("Credential={ID}/")) {
        return Some(error(403, "InvalidAccessKeyId"));
    }
    let hash = header(head, "x-amz-content-sha256");
    (hash != Held::new(body, None).sha256).then(|| error(400, "XAmzContentSHA256Mismatch"))
}

impl State {
    fn create(&mut self, name: Name, content_type: &str) -> Response {
        self.counter += 1;
        let id = format!("upload-{}", self.counter);
        let xml = format!(
            "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>k</Key><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>",
            name.0
        );
        let upload = Upload { name, content_type: content_type.to_owned(), parts: BTreeMap::new() };
        self.uploads.insert(id, upload);
        reply(200, xml)
    }

    fn complete(&mut self, id: &str, xml: &str) -> Response {
        let Some(upload) = self.uploads.get(id) else { return error(404, "NoSuchUpload") };
        let element = |part: &str, name: &str| {
            let (_, rest) = part.split_once(&format!("<{name}>")).unwrap();
            rest.split_once("</").unwrap().0.replace("&quot;", "\"")
        };
        let mut whole = BytesMut::new();
        let listed: Vec<_> = xml.split("<Part>").skip(1).collect();
        for (index, part) in listed.iter().enumerate() {
            let number: u32 = element(part, "PartNumber").parse().unwrap();
            let Some(bytes) = upload.parts.get(&number) else { return error(400, "InvalidPart") };
            if etag(bytes) != element(part, "ETag") {
                return error(400, "InvalidPart");
            }
            if index + 1 < listed.len() && bytes.len() < SMALLEST_PART {
                return error(400, "EntityTooSmall");
            }
            whole.extend_from_slice(bytes);
        }
        let xml = format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            "\"x-2\""
        );
        let (name, content_type) = (upload.name.clone(), upload.content_type.clone());
        self.objects.insert(name, (content_type, whole.freeze()));
        self.uploads.remove(id);
        reply(200, xml)
    }
}
