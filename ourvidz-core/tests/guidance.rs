//! Guidance against diffusers 0.42.1, goldens of `scripts/goldens/guidance.py`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
mod golden;

use ourvidz_core::guidance::{classifier_free_guidance, rescale_noise_cfg};

#[test]
fn equals_diffusers() {
    let golden = golden::Golden::read("guidance");
    let (unconditional, conditional) = (golden.tensor("unconditional"), golden.tensor("conditional"));
    for scale in ["1.0", "5.0", "7.5"] {
        let guided = classifier_free_guidance(unconditional, conditional, scale.parse().unwrap());
        let name = format!("guided.{scale}");
        golden::assert_close(&name, &guided, golden.tensor(&name), 1e-6, 1.0);
        for rescale in ["0.0", "0.7", "1.0"] {
            let rescaled = rescale_noise_cfg(&guided, conditional, rescale.parse().unwrap());
            let name = format!("rescaled.{scale}.{rescale}");
            golden::assert_close(&name, &rescaled, golden.tensor(&name), 1e-6, 1.0);
        }
    }
}
