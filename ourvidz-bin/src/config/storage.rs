use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ourvidz_storage::{Credentials, Layout, StoreConfig};
use secrecy::SecretString;

use super::Supabase;
use super::env_vars::{
    AWS_ACCESS_KEY_ID, AWS_ENDPOINTS, AWS_REGIONS, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, Environment,
    STORAGE_URL,
};
use super::file::{Secret, StorageSection};
use super::queue::without_credentials;
use super::setting::{Setting, text};

/// Where finished files go, and what callbacks call them.
#[derive(Debug, Clone)]
pub(crate) struct StorageSettings {
    pub(crate) store: Setting<StoreConfig>,
    /// The store for people and logs, without credentials.
    pub(crate) described: String,
    pub(crate) layout: Setting<Layout>,
    pub(crate) report_bucket: Setting<bool>,
}

impl StorageSettings {
    /// Flag `--storage-url`, `OURVIDZ_STORAGE_URL`, `storage.url`, the Supabase project, else the data folder.
    pub(super) fn resolve(
        flag: Option<&str>,
        environment: &Environment,
        file: &StorageSection,
        supabase: Option<&Supabase>,
        data_dir: &Path,
    ) -> Result<Self> {
        let file_url = file.url.as_ref().map(Secret::expose);
        let url = text(("--storage-url", flag), environment, &[STORAGE_URL], ("storage.url", file_url));
        let (store, described) = match (url, supabase) {
            (Some(url), _) => {
                let address = address(&url.value, environment, supabase)?;
                let store = StoreConfig::parse(&address, credentials(environment, supabase))
                    .with_context(|| url.from.to_string())?;
                (Setting { value: store, from: url.from }, describe(&address))
            }
            (None, Some(project)) => {
                let address = format!("supabase+{}", project.url.value);
                let from = project.url.from.clone();
                let store = StoreConfig::parse(&address, credentials(environment, supabase))
                    .with_context(|| from.to_string())?;
                (Setting { value: store, from }, describe(&address))
            }
            (None, None) => {
                let root = PathBuf::from(data_dir);
                let described = format!("folder {}", root.display());
                (Setting::default(StoreConfig::Local { root }), described)
            }
        };
        let layout = match file.layout.as_deref() {
            None => None,
            Some("workspace-temp") => Some(Layout::WorkspaceTemp),
            Some("per-type") => Some(Layout::PerType),
            Some(other) => bail!("storage.layout: must be \"workspace-temp\" or \"per-type\", got {other:?}"),
        };
        Ok(Self {
            store,
            described,
            layout: Setting::of_file("storage.layout", layout, Layout::WorkspaceTemp),
            report_bucket: Setting::of_file("storage.report_bucket", file.report_bucket, false),
        })
    }
}

/// The address with what the environment adds: `supabase:` is the configured project, and S3 takes region and
/// endpoint from the AWS variables where the address does not name them.
fn address(url: &str, environment: &Environment, supabase: Option<&Supabase>) -> Result<String> {
    if url == "supabase:" {
        return match supabase {
            Some(project) => Ok(format!("supabase+{}", project.url.value)),
            None => bail!("supabase: needs SUPABASE_URL and a service key"),
        };
    }
    let Some(mut parsed) = url.starts_with("s3:").then(|| url::Url::parse(url).ok()).flatten() else {
        return Ok(url.to_owned());
    };
    for (name, variables) in [("region", AWS_REGIONS), ("endpoint", AWS_ENDPOINTS)] {
        let named = parsed.query_pairs().any(|(key, _)| key == name);
        if let (false, Some((_, value))) = (named, environment.first(&variables)) {
            parsed.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(parsed.into())
}

fn credentials(environment: &Environment, supabase: Option<&Supabase>) -> Credentials {
    let secret = |name: &str| environment.get(name).map(SecretString::from);
    Credentials {
        service_key: supabase.map(|project| SecretString::from(project.service_key.value.expose())),
        access_key_id: secret(AWS_ACCESS_KEY_ID),
        secret_access_key: secret(AWS_SECRET_ACCESS_KEY),
        session_token: secret(AWS_SESSION_TOKEN),
    }
}

fn describe(address: &str) -> String {
    match address.split_once(':').map(|(scheme, _)| scheme) {
        Some("supabase+https" | "supabase+http") => {
            format!("Supabase Storage at {}", without_credentials(address.trim_start_matches("supabase+")))
        }
        Some("s3") => format!("S3, {}", without_credentials(address)),
        Some("memory") => "memory".to_owned(),
        Some("file") => format!("folder {}", without_credentials(address).trim_start_matches("file://")),
        _ => format!("folder {address}"),
    }
}
