//! The published 1.3B configuration, defaults, and the sizes a video may have.
#![allow(clippy::unwrap_used)]

use ourvidz_wan::{Error, VideoGeometry, WanTransformerConfig};

/// The fields of the 1.3B text-to-video model's `transformer/config.json`.
const T2V_1_3B: &str = r#"{
    "_class_name": "WanTransformer3DModel", "_diffusers_version": "0.33.0.dev0",
    "added_kv_proj_dim": null, "attention_head_dim": 128, "cross_attn_norm": true, "eps": 1e-06,
    "ffn_dim": 8960, "freq_dim": 256, "image_dim": null, "in_channels": 16, "num_attention_heads": 12,
    "num_layers": 30, "out_channels": 16, "patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024, "text_dim": 4096
}"#;

fn geometry(num_frames: usize, height: usize, width: usize) -> ourvidz_wan::Result<VideoGeometry> {
    VideoGeometry::new(num_frames, height, width, &WanTransformerConfig::default())
}

#[test]
fn published_configuration_is_read() {
    let config = WanTransformerConfig::from_json(T2V_1_3B).unwrap();
    let expected = WanTransformerConfig {
        num_attention_heads: 12,
        num_layers: 30,
        ffn_dim: 8960,
        ..WanTransformerConfig::default()
    };
    assert_eq!(config, expected);
    assert_eq!(config.inner_dim(), 1536);
}

#[test]
fn an_empty_object_is_the_default() {
    assert_eq!(WanTransformerConfig::from_json("{}").unwrap(), WanTransformerConfig::default());
}

#[test]
fn wrong_configurations_are_refused_with_the_field() {
    let error = |text| WanTransformerConfig::from_json(text).unwrap_err().to_string();
    assert!(error(r#"{"_class_name": "UNet2DConditionModel"}"#).contains("UNet2DConditionModel"));
    assert!(error(r#"{"attention_head_dim": 7}"#).contains("attention_head_dim"));
    assert!(error(r#"{"patch_size": [1, 0, 2]}"#).contains("patch_size"));
    assert!(error(r#"{"num_layers": 0}"#).contains("num_layers"));
    assert!(error(r#"{"freq_dim": 5}"#).contains("freq_dim"));
    assert!(error(r#"{"out_channels": 17}"#).contains("out_channels must be at most in_channels, got 17"));
    assert!(error(r#"{"qk_norm": "layer_norm"}"#).contains("qk_norm"));
    assert!(matches!(WanTransformerConfig::from_json("["), Err(Error::Json { .. })));
}

#[test]
fn inputs_of_images_come_together() {
    let read = |text: &str| WanTransformerConfig::from_json(text);
    assert!(read(r#"{"image_dim": 1280, "added_kv_proj_dim": 5120}"#).is_ok());
    for text in [
        r#"{"image_dim": 1280}"#,
        r#"{"added_kv_proj_dim": 5120}"#,
        r#"{"image_dim": 1280, "added_kv_proj_dim": 1280}"#,
    ] {
        assert!(read(text).unwrap_err().to_string().contains("added_kv_proj_dim"), "{text}");
    }
    let positions =
        |n| format!(r#"{{"image_dim": 1280, "added_kv_proj_dim": 5120, "pos_embed_seq_len": {n}}}"#);
    assert!(read(&positions(514)).is_ok());
    for text in [positions(513), positions(0), r#"{"pos_embed_seq_len": 514}"#.to_owned()] {
        assert!(read(&text).unwrap_err().to_string().contains("pos_embed_seq_len"), "{text}");
    }
}

#[test]
fn control_belongs_to_its_class() {
    let vace = |layers: &str| {
        WanTransformerConfig::from_json(&format!(
            r#"{{"_class_name": "WanVACETransformer3DModel", "num_layers": 40{layers}}}"#
        ))
    };
    let default = vec![0, 5, 10, 15, 20, 25, 30, 35];
    assert_eq!(vace("").unwrap().vace_layers, Some(default));
    assert_eq!(vace(r#", "vace_layers": [0, 39]"#).unwrap().vace_layers, Some(vec![0, 39]));
    for layers in ["[]", "[1, 2]", "[0, 40]", "[0, 4, 4]", "[0, 4, 2]"] {
        let error = vace(&format!(r#", "vace_layers": {layers}"#)).unwrap_err().to_string();
        assert!(error.contains("vace_layers must be rising from 0"), "{error}");
    }
    let other = r#"{"_class_name": "WanTransformer3DModel", "vace_layers": [0]}"#;
    assert!(!WanTransformerConfig::from_json(other).unwrap().is_vace());
}

#[test]
fn frames_round_down_to_four_n_plus_one() {
    let cases = [(1, 1, 1), (4, 1, 1), (5, 5, 2), (80, 77, 20), (81, 81, 21), (83, 81, 21), (85, 85, 22)];
    for (asked, made, latent) in cases {
        let geometry = geometry(asked, 480, 832).unwrap();
        assert_eq!((geometry.num_frames(), geometry.latents_shape()[1]), (made, latent), "{asked} frames");
    }
    assert!(matches!(geometry(0, 480, 832), Err(Error::NoFrames)));
}

#[test]
fn tokens_are_latents_over_the_patch() {
    let video = geometry(81, 832, 480).unwrap();
    assert_eq!(video.latents_shape(), [16, 21, 104, 60]);
    assert_eq!(video.grid(), [21, 52, 30]);
    assert_eq!(video.tokens(), 32_760);
    assert_eq!(geometry(1, 16, 32).unwrap().tokens(), 2);
}

#[test]
fn other_sizes_are_refused_with_the_rule() {
    let error = |height, width| geometry(81, height, width).unwrap_err().to_string();
    assert_eq!(error(488, 832), "height must be a multiple of 16 and at least 16, got 488");
    assert_eq!(error(480, 0), "width must be a multiple of 16 and at least 16, got 0");
}
