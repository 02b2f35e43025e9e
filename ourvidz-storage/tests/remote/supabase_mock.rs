//! Supabase Storage, as far as a store of files meets it: status 400 with the true one in the body, upsert,
//! resumable uploads, signed URLs that expire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use axum::http::request::Parts;
use axum::http::{Method, Response as HttpResponse};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use ourvidz_storage::StorageKey;
use ourvidz_storage::conformance::{Held, Observer};
use percent_encoding::percent_decode_str;

use crate::SECRET;
use crate::server::Backend;

type Name = (String, String);

#[derive(Default)]
pub(crate) struct Supabase(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) objects: BTreeMap<Name, (String, Bytes)>,
    pub(crate) uploads: BTreeMap<String, Upload>,
    pub(crate) buckets: BTreeSet<String>,
    /// Token: what it is for, the path it is for, when it expires.
    tokens: BTreeMap<String, (&'static str, String, u64)>,
    /// Seconds since the server began.
    pub(crate) now: u64,
    counter: u64,
}

pub(crate) struct Upload {
    name: Name,
    content_type: String,
    len: usize,
    pub(crate) data: Vec<u8>,
    upsert: bool,
}

impl Supabase {
    pub(crate) fn new() -> Self {
        let supabase = Self::default();
        supabase.state().buckets.insert("workspace-temp".to_owned());
        supabase
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Observer for Supabase {
    fn held(&self, key: &StorageKey) -> Option<Held> {
        let name = (key.bucket().to_owned(), key.path().to_owned());
        self.state()
            .objects
            .get(&name)
            .map(|(content_type, bytes)| Held::new(bytes, Some(content_type.clone())))
    }
}

fn reply(status: u16, body: impl Into<axum::body::Body>) -> Response {
    HttpResponse::builder().status(status).body(body.into()).unwrap()
}

/// As the server's: 400, and the true status inside.
pub(crate) fn error_body(status: u16, code: &str, error: &str, message: &str) -> String {
    serde_json::json!({ "statusCode": status.to_string(), "error": error, "code": code, "message": message })
        .to_string()
}

fn error(status: u16, code: &str, error: &str, message: &str) -> Response {
    reply(if status == 500 { 500 } else { 400 }, error_body(status, code, error, message))
}

fn header<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What JavaScript's `decodeURI` does: encoded reserved characters stay encoded.
fn decode_uri(path: &str) -> String {
    let mut kept = path.to_owned();
    for byte in ";/?:@&=+$,#".bytes() {
        kept = kept.replace(&format!("%{byte:02X}"), &format!("%25{byte:02X}"));
    }
    percent_decode_str(&kept).decode_utf8().unwrap().into_owned()
}

impl Backend for Supabase {
    fn handle(&self, head: &Parts, body: Bytes, fault: Option<&'static str>) -> Response {
        let mut state = self.state();
        let raw = head.uri.path();
        let Some(raw) = raw.strip_prefix("/storage/v1/") else {
            return reply(404, r#"{"message":"no Route matched with those values"}"#);
        };
        let token = head.uri.query().and_then(|query| query.strip_prefix("token="));
        if token.is_none() {
            if header(head, "apikey").is_empty() {
                return reply(401, r#"{"message":"No API key found in request"}"#);
            }
            // HEAD of an upload is open.
            if header(head, "authorization") != format!("Bearer {SECRET}") {
                return error(403, "AccessDenied", "Unauthorized", "Invalid Compact JWS");
            }
        }
        if let Some(id) = raw.strip_prefix("upload/resumable") {
            return state.tus(head, id.trim_start_matches('/'), body, fault);
        }
        let routes =
            ["object/authenticated/", "object/info/authenticated/", "object/upload/sign/", "object/sign/"];
        let route = routes.into_iter().find(|route| raw.starts_with(route)).unwrap_or("object/");
        let path = raw.strip_prefix(route).unwrap_or_default();
        let Some((bucket, name)) = path.split_once('/') else { return reply(404, "") };
        let decode = |text| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let name = (decode(bucket), decode(name));
        if !name.1.bytes().all(|b| b.is_ascii_alphanumeric() || b"_/!.*'() &$=@;:+,?-".contains(&b)) {
            return error(400, "InvalidKey", "InvalidKey", &format!("Invalid key: {}", name.1));
        }
        let state = &mut *state;
        if let Some(token) = token {
            return state.with_token(head, token, &name, body);
        }
        if !state.buckets.contains(&name.0) {
            return error(404, "NoSuchBucket", "Bucket not found", "Bucket not found");
        }
        match (&head.method, route) {
            (&Method::POST, "object/") => {
                state.store(name, header(head, "content-type"), body, header(head, "x-upsert") == "true")
            }
            (&Method::POST, "object/upload/sign/") => {
                let path = format!("{}/{}", name.0, name.1);
                let token = state.token("upload", path.clone(), 7200);
                let url = format!("/object/upload/sign/{path}?token={token}");
                reply(200, serde_json::json!({ "url": url, "token": token }).to_string())
            }
            _ => {
                let Some((content_type, bytes)) = state.objects.get(&name).cloned() else {
                    return error(404, "NoSuchKey", "not_found", "Object not found");
                };
                match (&head.method, route) {
                    (&Method::GET, "object/authenticated/") => {
                        let reply = HttpResponse::builder().header("content-type", content_type);
                        reply.body(bytes.into()).unwrap()
                    }
                    (&Method::GET, "object/info/authenticated/") => {
                        let info = serde_json::json!({
                            "name": name.1, "bucket_id": name.0, "size": bytes.len(), "content_type": content_type,
                        });
                        reply(200, info.to_string())
                    }
                    (&Method::DELETE, "object/") => {
                        state.objects.remove(&name);
                        reply(200, r#"{"message":"Successfully deleted"}"#)
                    }
                    (&Method::POST, "object/sign/") => {
                        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                        let path = decode_uri(path);
                        let token = state.token("read", path.clone(), body["expiresIn"].as_u64().unwrap());
                        let url = format!("/object/sign/{path}?token={token}");
                        reply(200, serde_json::json!({ "signedURL": url }).to_string())
                    }
                    _ => reply(404, r#"{"message":"Route not found","error":"Not Found","statusCode":404}"#),
                }
            }
        }
    }

    fn partial(&self, head: &Parts, body: Bytes) {
        if head.method == Method::PATCH {
            let id = head.uri.path().rsplit('/').next().unwrap();
            self.state().uploads.get_mut(id).unwrap().data.extend_from_slice(&body);
        }
    }
}

impl State {
    fn store(&mut self, name: Name, content_type: &str, bytes: Bytes, upsert: bool) -> Response {
        if self.objects.contains_key(&name) && !upsert {
            return error(409, "KeyAlreadyExists", "Duplicate", "The resource already exists");
        }
        let stored = serde_json::json!({ "Id": "1", "Key": format!("{}/{}", name.0, name.1) });
        self.objects.insert(name, (content_type.to_owned(), bytes));
        reply(200, stored.to_string())
    }

    fn token(&mut self, kind: &'static str, path: String, seconds: u64) -> String {
        self.counter += 1;
        let token = format!("token-{}", self.counter);
        self.tokens.insert(token.clone(), (kind, path, self.now + seconds));
        token
    }

    fn with_token(&mut self, head: &Parts, token: &str, name: &Name, body: Bytes) -> Response {
        let Some((kind, path, until)) = self.tokens.get(token).cloned() else {
            return error(400, "InvalidJWT", "InvalidJWT", "Invalid Compact JWS");
        };
        if path != format!("{}/{}", name.0, name.1) {
            return error(400, "InvalidSignature", "InvalidSignature", "The signature is of another path");
        }
        if until <= self.now {
            return error(400, "InvalidJWT", "InvalidJWT", "\"exp\" claim timestamp check failed");
        }
        match (kind, &head.method) {
            ("read", &Method::GET) => reply(200, self.objects[name].1.clone()),
            ("upload", &Method::PUT) => self.store(name.clone(), header(head, "content-type"), body, true),
            _ => error(400, "InvalidSignature", "InvalidSignature", "Token is not scoped for this"),
        }
    }

    fn tus(&mut self, head: &Parts, id: &str, body: Bytes, fault: Option<&'static str>) -> Response {
        if header(head, "tus-resumable") != "1.0.0" {
            return reply(412, "Tus-Resumable Required");
        }
        if head.method == Method::POST {
            return self.create(head);
        }
        let Some(upload) = self.uploads.get_mut(id) else {
            return reply(404, "The file for this url was not found");
        };
        let offset = |upload: &Upload| {
            HttpResponse::builder()
                .header("upload-offset", upload.data.len())
                .header("tus-resumable", "1.0.0")
        };
        if head.method == Method::HEAD {
            return offset(upload).header("upload-length", upload.len).body(Default::default()).unwrap();
        }
        assert_eq!(head.method, Method::PATCH);
        if header(head, "content-type") != "application/offset+octet-stream" {
            return reply(415, "Invalid Content-Type");
        }
        if header(head, "upload-offset") != upload.data.len().to_string() {
            return reply(409, "Upload-Offset conflict");
        }
        upload.data.extend_from_slice(&body);
        if upload.data.len() > upload.len {
            return reply(413, "Upload's size exceeded");
        }
        let done = offset(upload).status(204).body(Default::default()).unwrap();
        if upload.data.len() < upload.len {
            return done;
        }
        if fault == Some("finish") {
            // All bytes are there; making them the file fails.
            return reply(503, "acquiring lock timeout");
        }
        let (name, content_type, upsert) = (upload.name.clone(), upload.content_type.clone(), upload.upsert);
        let stored = self.store(name, &content_type, Bytes::from(self.uploads[id].data.clone()), upsert);
        if stored.status().is_success() { done } else { reply(409, "The resource already exists") }
    }

    fn create(&mut self, head: &Parts) -> Response {
        let metadata: BTreeMap<_, _> = header(head, "upload-metadata")
            .split(',')
            .map(|pair| pair.split_once(' ').unwrap())
            .map(|(name, value)| (name, String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()))
            .collect();
        let name = (metadata["bucketName"].clone(), metadata["objectName"].clone());
        if !self.buckets.contains(&name.0) {
            return reply(404, "Bucket not found");
        }
        self.counter += 1;
        let id = URL_SAFE_NO_PAD.encode(format!("{}/{}/{}", name.0, name.1, self.counter));
        let upload = Upload {
            name,
            content_type: metadata["contentType"].clone(),
            len: header(head, "upload-length").parse().unwrap(),
            data: Vec::new(),
            upsert: header(head, "x-upsert") == "true",
        };
        self.uploads.insert(id.clone(), upload);
        // What servers behind a proxy take for their address.
        let location = format!("http://storage.internal.invalid:5000/upload/resumable/{id}");
        HttpResponse::builder().status(201).header("location", location).body(Default::default()).unwrap()
    }
}
