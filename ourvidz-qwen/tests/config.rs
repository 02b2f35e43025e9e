//! What a configuration may say, and what is refused by name.

mod common;

use anyhow::{Context, Result, ensure};
use ourvidz_qwen::QwenConfig;
use serde_json::{Value, json};

fn with(model: &str, field: &str, value: Value) -> Result<String> {
    let text = std::fs::read_to_string(common::folder(model).join("config.json"))?;
    let mut config: Value = serde_json::from_str(&text)?;
    config[field] = value;
    Ok(match QwenConfig::from_json(&config.to_string()) {
        Ok(_) => "taken".into(),
        Err(error) => error.to_string(),
    })
}

#[test]
fn what_is_not_built_is_refused_by_name() -> Result<()> {
    let cases = [
        ("model_type", json!("llama"), "must be qwen2 or qwen3, got llama"),
        ("use_sliding_window", json!(true), "must be false: windows are not supported, got true"),
        (
            "rope_scaling",
            json!({"type": "yarn", "factor": 4.0}),
            "must have rope_type default: scaled positions are not supported, got yarn",
        ),
        (
            "rope_parameters",
            json!({"rope_type": "dynamic", "rope_theta": 10000.0}),
            "must have rope_type default: scaled positions are not supported, got dynamic",
        ),
        (
            "layer_types",
            json!(["full_attention", "sliding_attention"]),
            "must all be full_attention, got sliding_attention",
        ),
        ("hidden_act", json!("gelu"), "must be silu, got gelu"),
        ("num_key_value_heads", json!(3), "must divide num_attention_heads, got 3"),
        ("num_hidden_layers", json!(0), "must be at least 1, got 0"),
        ("head_dim", json!(24), "must be a multiple of 16, got 24"),
        ("rms_norm_eps", json!(0.0), "must be above 0, got 0"),
        (
            "quantization_config",
            json!({"quant_method": "awq"}),
            "must be absent: weights are quantised here, at load, got {\"quant_method\":\"awq\"}",
        ),
    ];
    for (field, value, rule) in cases {
        for model in common::MODELS {
            let found = with(model, field, value.clone())?;
            ensure!(found == format!("config.json: {field} {rule}"), "{model}: {found}");
        }
    }
    let found = with("qwen3", "attention_bias", json!(true))?;
    ensure!(found == "config.json: attention_bias must be false, got true", "{found}");
    Ok(())
}

#[test]
fn what_changes_nothing_is_taken() -> Result<()> {
    let cases = [
        ("rope_scaling", Value::Null),
        ("rope_scaling", json!({"rope_type": "default"})),
        ("sliding_window", json!(4096)),
        ("layer_types", Value::Null),
        ("quantization_config", Value::Null),
        ("something_new", json!([1, 2])),
    ];
    for (field, value) in cases {
        let found = with("qwen2_tied", field, value)?;
        ensure!(found == "taken", "{field}: {found}");
    }
    Ok(())
}

#[test]
fn widths_and_bases_come_from_either_spelling() -> Result<()> {
    let qwen2 = common::config("qwen2_tied")?;
    ensure!((qwen2.head_dim(), qwen2.rope_theta()) == (16, 1e6));
    let qwen3 = common::config("qwen3")?;
    ensure!((qwen3.head_dim(), qwen3.rope_theta()) == (32, 1e4));
    let text = std::fs::read_to_string(common::folder("qwen3").join("config.json"))?;
    let mut older: Value = serde_json::from_str(&text)?;
    older.as_object_mut().context("an object")?.remove("rope_parameters");
    older["rope_theta"] = json!(5e5);
    ensure!(QwenConfig::from_json(&older.to_string())?.rope_theta() == 5e5);
    ensure!(QwenConfig::from_json("{}").is_err());
    Ok(())
}
