use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// `ourvidz.toml`. Every key may be left out; an unknown key is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigFile {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) queue: QueueSection,
    pub(crate) supabase: SupabaseSection,
    pub(crate) storage: StorageSection,
    pub(crate) callback: CallbackSection,
    pub(crate) reference: ReferenceSection,
    pub(crate) worker: WorkerSection,
    pub(crate) wan: WanSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueueSection {
    pub(crate) url: Option<Secret>,
    pub(crate) token: Option<Secret>,
    pub(crate) pop_side: Option<String>,
    pub(crate) lease_seconds: Option<f64>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) fair_share: Option<bool>,
    pub(crate) fair_share_window: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SupabaseSection {
    pub(crate) url: Option<String>,
    pub(crate) service_key: Option<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StorageSection {
    pub(crate) url: Option<Secret>,
    pub(crate) layout: Option<String>,
    pub(crate) report_bucket: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CallbackSection {
    pub(crate) enabled: Option<bool>,
    pub(crate) url: Option<String>,
    pub(crate) allow_http: Option<bool>,
    pub(crate) format: Option<String>,
    pub(crate) processing: Option<bool>,
    pub(crate) secret: Option<Secret>,
    pub(crate) webhook_secret: Option<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReferenceSection {
    pub(crate) on_error: Option<String>,
    pub(crate) allow_hosts: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkerSection {
    pub(crate) grace_seconds: Option<f64>,
    pub(crate) stall_seconds: Option<f64>,
    pub(crate) sdxl_deadline_seconds: Option<f64>,
    pub(crate) wan_image_deadline_seconds: Option<f64>,
    pub(crate) wan_video_deadline_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WanSection {
    pub(crate) default_fps: Option<u32>,
}

/// Text that is not shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Where configuration is looked for without `--config`: `ourvidz.toml` here, then in the user's folder.
const NAME: &str = "ourvidz.toml";

impl ConfigFile {
    /// The file asked for, else the one that is found, else none.
    pub(crate) fn find(asked: Option<&Path>) -> Result<(Option<PathBuf>, Self)> {
        let path = match asked {
            Some(path) => Some(path.to_owned()),
            None => {
                let user = dirs::config_dir().map(|folder| folder.join("ourvidz").join(NAME));
                [Some(PathBuf::from(NAME)), user].into_iter().flatten().find(|path| path.is_file())
            }
        };
        let file = match &path {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        Ok((path, file))
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("--config: {}", path.display()))?;
        match toml::from_str(&text) {
            Ok(file) => Ok(file),
            Err(error) => {
                // The error's own text quotes the line, which may hold a secret.
                let line = error
                    .span()
                    .map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
                let place = line.map(|line| format!(" line {line}")).unwrap_or_default();
                bail!("{}{place}: {}", path.display(), error.message())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_and_no_secret_is_quoted() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(NAME);
        std::fs::write(&path, "[queue]\ntoken = \"hush\"\nlese_seconds = 3\n")?;
        let error = format!(
            "{:#}",
            ConfigFile::find(Some(&path)).map(drop).map_err(|e| e.to_string()).err().unwrap_or_default()
        );
        assert!(
            error.contains("lese_seconds") && error.contains("line 3") && !error.contains("hush"),
            "{error}"
        );
        std::fs::write(&path, "[queue]\ntoken = hush\n")?;
        let error =
            ConfigFile::find(Some(&path)).map(drop).map_err(|e| e.to_string()).err().unwrap_or_default();
        assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
        Ok(())
    }
}
