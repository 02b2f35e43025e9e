use anyhow::{Result, bail};
use ourvidz_core::job::callback::CallbackFormat;
use ourvidz_queue::signature::{CallbackSecret, WebhookSecret};

use super::Supabase;
use super::env_vars::{CALLBACK_SECRET, CALLBACK_URL, Environment, WEBHOOK_SECRET};
use super::file::{CallbackSection, Secret};
use super::setting::{Setting, text};

/// Who is called, and how.
#[derive(Debug, Clone)]
pub(crate) struct CallbackSettings {
    pub(crate) url: Setting<String>,
    /// Sent as `Authorization: Bearer`; only to the Supabase project it belongs to.
    pub(crate) bearer: Option<Setting<Secret>>,
    pub(crate) secret: Option<Setting<Secret>>,
    /// `whsec_...`; several, separated by spaces, while a secret is rotated.
    pub(crate) webhook_secret: Option<Setting<Secret>>,
    pub(crate) allow_http: bool,
    pub(crate) format: Setting<CallbackFormat>,
    pub(crate) processing: Setting<bool>,
}

impl CallbackSettings {
    /// `OURVIDZ_CALLBACK_URL`, `callback.url`, else the Supabase project's function; nobody without any, or
    /// with `callback.enabled = false`.
    pub(super) fn resolve(
        environment: &Environment,
        file: &CallbackSection,
        supabase: Option<&Supabase>,
    ) -> Result<Option<Self>> {
        let format = match file.format.as_deref() {
            None => None,
            Some("assets") => Some(CallbackFormat::Assets),
            Some("urls") => Some(CallbackFormat::Urls),
            Some(other) => bail!("callback.format: must be \"assets\" or \"urls\", got {other:?}"),
        };
        let secret = secret(environment, CALLBACK_SECRET, "callback.secret", file.secret.as_ref());
        if let Some(found) = &secret {
            CallbackSecret::new(found.value.expose())
                .map_err(|error| anyhow::anyhow!("{}: {error}", found.from))?;
        }
        let webhook_secret = self::secret(
            environment,
            WEBHOOK_SECRET,
            "callback.webhook_secret",
            file.webhook_secret.as_ref(),
        );
        if let Some(found) = &webhook_secret {
            for one in found.value.expose().split_whitespace() {
                WebhookSecret::new(one).map_err(|error| anyhow::anyhow!("{}: {error}", found.from))?;
            }
        }
        let url = text(("", None), environment, &[CALLBACK_URL], ("callback.url", file.url.as_deref()));
        let url = match (url, supabase) {
            (Some(url), _) => url,
            (None, Some(project)) => Setting {
                value: format!("{}/functions/v1/job-callback", project.url.value),
                from: project.url.from.clone(),
            },
            (None, None) => return Ok(None),
        };
        if file.enabled == Some(false) {
            return Ok(None);
        }
        let allow_http = file.allow_http.unwrap_or(false);
        let parsed = match url::Url::parse(&url.value) {
            Ok(parsed) if parsed.has_host() && matches!(parsed.scheme(), "http" | "https") => parsed,
            _ => bail!("{}: must be an https address", url.from),
        };
        let bearer = supabase
            .filter(|project| {
                url::Url::parse(&project.url.value).is_ok_and(|own| own.origin() == parsed.origin())
            })
            .map(|project| project.service_key.clone());
        Ok(Some(Self {
            url,
            bearer,
            secret,
            webhook_secret,
            allow_http,
            format: Setting::of_file("callback.format", format, CallbackFormat::Assets),
            processing: Setting::of_file("callback.processing", file.processing, true),
        }))
    }
}

fn secret(
    environment: &Environment,
    variable: &'static str,
    key: &'static str,
    file: Option<&Secret>,
) -> Option<Setting<Secret>> {
    let found = text(("", None), environment, &[variable], (key, file.map(Secret::expose)))?;
    Some(Setting { value: Secret::new(found.value), from: found.from })
}
