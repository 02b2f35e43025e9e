//! Every environment variable that configures queues, stores and callbacks. `docs/CONFIG.md` lists them with
//! the rest.

use std::collections::BTreeMap;

pub(crate) const SDXL_MODEL: &str = "OURVIDZ_SDXL_MODEL";
pub(crate) const WAN_MODEL: &str = "OURVIDZ_WAN_MODEL";
pub(crate) const QWEN_BASE_PATH: &str = "QWEN_BASE_PATH";
/// Folders of language models; the first that is set is taken. The last two are those of the original worker.
pub(crate) const QWEN_MODELS: [&str; 3] = ["OURVIDZ_QWEN_MODEL", "QWEN_INSTRUCT_PATH", QWEN_BASE_PATH];
pub(crate) const CONFIG: &str = "OURVIDZ_CONFIG";
pub(crate) const DATA_DIR: &str = "OURVIDZ_DATA_DIR";
pub(crate) const QUEUE_URL: &str = "OURVIDZ_QUEUE_URL";
pub(crate) const REDIS_URL: &str = "REDIS_URL";
pub(crate) const UPSTASH_URL: &str = "UPSTASH_REDIS_REST_URL";
pub(crate) const UPSTASH_TOKEN: &str = "UPSTASH_REDIS_REST_TOKEN";
pub(crate) const SUPABASE_URL: &str = "SUPABASE_URL";
/// Both spellings of the service key; the first that is set is taken.
pub(crate) const SUPABASE_KEYS: [&str; 2] = ["SUPABASE_SERVICE_KEY", "SUPABASE_SERVICE_ROLE_KEY"];
pub(crate) const STORAGE_URL: &str = "OURVIDZ_STORAGE_URL";
pub(crate) const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
pub(crate) const AWS_SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
pub(crate) const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
pub(crate) const AWS_REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
pub(crate) const AWS_ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
pub(crate) const CALLBACK_URL: &str = "OURVIDZ_CALLBACK_URL";
pub(crate) const CALLBACK_SECRET: &str = "JOB_CALLBACK_SECRET";
pub(crate) const WEBHOOK_SECRET: &str = "OURVIDZ_WEBHOOK_SECRET";

/// The environment as it was at the start. A variable that is set to nothing counts as not set.
#[derive(Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(crate) fn read() -> Self {
        Self::of(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    pub(crate) fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// The first of several spellings that is set, with its name.
    pub(crate) fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|&name| Some((name, self.get(name)?)))
    }
}
