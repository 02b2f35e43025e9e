//! A store from a URL.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use crate::{
    Error, LocalStorage, MemoryStorage, Result, S3Config, S3Credentials, S3Storage, Storage, SupabaseConfig,
    SupabaseStorage,
};

/// Which store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreConfig {
    /// [`MemoryStorage`], for trials.
    Memory,
    /// [`LocalStorage`].
    Local {
        /// The folder; created with the first file.
        root: PathBuf,
    },
    /// [`SupabaseStorage`].
    Supabase(SupabaseConfig),
    /// [`S3Storage`].
    S3(S3Config),
}

/// What a URL must not contain.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Supabase: the service key.
    pub service_key: Option<SecretString>,
    /// S3: the access key's id.
    pub access_key_id: Option<SecretString>,
    /// S3: its secret.
    pub secret_access_key: Option<SecretString>,
    /// S3: the token of temporary credentials.
    pub session_token: Option<SecretString>,
}

impl StoreConfig {
    /// Reads one of
    ///
    /// - `/folder`, `folder`, `file:///folder`
    /// - `supabase+https://<project>.supabase.co` (`supabase+http` for an own server)
    /// - `s3://?region=..` (the key's bucket), `s3://bucket?region=..` (all in one), with the parameters
    ///   `endpoint`, `virtual_hosted=true|false` and `credentials=key|instance`; with an endpoint the region is
    ///   `us-east-1` if not given
    /// - `memory:`
    ///
    /// # Errors
    /// [`Error::Setting`] with what is wrong: `storage.url`, a parameter, or missing credentials.
    pub fn parse(url: &str, credentials: Credentials) -> Result<Self> {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme);
        match scheme {
            Some("memory") if url == "memory:" => Ok(Self::Memory),
            Some("file") => {
                let path = parse(url)?.to_file_path();
                let root = path.map_err(|()| broken("must be file:///folder, without a host", url))?;
                Ok(Self::Local { root })
            }
            Some("supabase+https" | "supabase+http") => {
                let url = parse(url.trim_start_matches("supabase+"))?;
                let key = credentials.service_key;
                let key = key.ok_or_else(|| missing("supabase.service_key", "must be given for Supabase"))?;
                Ok(Self::Supabase(SupabaseConfig::new(url, key)))
            }
            Some("s3") => s3(&parse(url)?, credentials).map(Self::S3),
            _ if url.is_empty() => Err(broken("must not be empty", url)),
            _ if url.contains("://") || scheme == Some("memory") => Err(broken(
                "must be a folder, file:///folder, supabase+https://.., s3://.. or memory:",
                &scheme.map(|scheme| format!("{scheme}:..")).unwrap_or_default(),
            )),
            _ => Ok(Self::Local { root: url.into() }),
        }
    }
}

/// Opens a store. Nothing is connected or created yet; [`probe`](crate::probe()) tries it out.
///
/// # Errors
/// [`Error::Setting`].
pub fn open(config: StoreConfig) -> Result<Arc<dyn Storage>> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(MemoryStorage::new()),
        StoreConfig::Local { root } => Arc::new(LocalStorage::new(root)),
        StoreConfig::Supabase(config) => Arc::new(SupabaseStorage::new(config)?),
        StoreConfig::S3(config) => Arc::new(S3Storage::new(config)?),
    })
}

fn s3(url: &Url, given: Credentials) -> Result<S3Config> {
    if !matches!(url.path(), "" | "/") {
        return Err(broken("must be s3://bucket, without a path", url.path()));
    }
    let (mut region, mut endpoint, mut instance, mut virtual_hosted) = (None, None, false, false);
    for (name, value) in url.query_pairs() {
        let wrong = |field, rule| Error::Setting { field, rule, value: value.clone().into_owned() };
        match name.as_ref() {
            "region" => region = Some(value.into_owned()),
            "endpoint" => {
                let parsed = Url::parse(&value);
                endpoint = Some(parsed.map_err(|_| missing("s3.endpoint", "must be an https or http URL"))?);
            }
            "virtual_hosted" => {
                let parsed = value.parse();
                virtual_hosted = parsed.map_err(|_| wrong("s3.virtual_hosted", "must be true or false"))?;
            }
            "credentials" if value == "instance" => instance = true,
            "credentials" if value == "key" => instance = false,
            "credentials" => return Err(wrong("s3.credentials", "must be key or instance")),
            // Not its value, which may be a secret in the wrong place.
            other => {
                let rule = "must have no parameters but region, endpoint, virtual_hosted and credentials";
                return Err(broken(rule, other));
            }
        }
    }
    let region = match (region, &endpoint) {
        (Some(region), _) => region,
        (None, Some(_)) => "us-east-1".to_owned(),
        (None, None) => return Err(missing("s3.region", "must be given for AWS, e.g. ?region=eu-central-1")),
    };
    let credentials = match (instance, given.access_key_id, given.secret_access_key) {
        (true, ..) => S3Credentials::Instance,
        (false, Some(id), Some(secret)) => S3Credentials::Key { id, secret, token: given.session_token },
        (false, None, _) => {
            return Err(missing("s3.access_key_id", "must be given, or ?credentials=instance"));
        }
        (false, _, None) => {
            return Err(missing("s3.secret_access_key", "must be given, or ?credentials=instance"));
        }
    };
    let bucket = url.host_str().filter(|host| !host.is_empty()).map(str::to_owned);
    Ok(S3Config { endpoint, bucket, virtual_hosted, ..S3Config::new(region, credentials) })
}

/// A URL without a user: a password there would end up in every message.
fn parse(url: &str) -> Result<Url> {
    // The text is not repeated: what cannot be read cannot be cleared of secrets.
    let scheme = url.split(':').next().unwrap_or_default();
    let parsed =
        Url::parse(url).map_err(|error| broken("must be a URL", &format!("{scheme}:.. ({error})")))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(broken(
            "must have no user or password: credentials are given apart",
            &format!("{scheme}:.."),
        ));
    }
    Ok(parsed)
}

fn broken(rule: &'static str, value: &str) -> Error {
    Error::Setting { field: "storage.url", rule, value: value.to_owned() }
}

fn missing(field: &'static str, rule: &'static str) -> Error {
    Error::Setting { field, rule, value: String::new() }
}

#[cfg(test)]
mod tests;
