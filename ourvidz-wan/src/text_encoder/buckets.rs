use super::Umt5Config;

/// The bucket of every pair of tokens: [L, L], rows are the tokens that look, columns those looked at.
pub(super) fn position_buckets(length: usize, config: &Umt5Config) -> Vec<i64> {
    let by_distance: Vec<i64> = (0..length).map(|distance| bucket(distance, config)).collect();
    let side = (config.relative_attention_num_buckets / 2) as i64;
    let pair = |query: usize, key: usize| {
        let bucket = by_distance[query.abs_diff(key)];
        if key > query { bucket + side } else { bucket }
    };
    (0..length * length).map(|i| pair(i / length, i % length)).collect()
}

/// Half of a side's buckets hold one distance each, the others ranges that grow by one factor up to the largest
/// distance. In f32 as the reference computes it: at the ranges' ends the rounding decides.
fn bucket(distance: usize, config: &Umt5Config) -> i64 {
    let side = config.relative_attention_num_buckets / 2;
    let exact = side / 2;
    if distance < exact {
        return distance as i64;
    }
    let range = (config.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
    let share = (distance as f32 / exact as f32).ln() / range * (side - exact) as f32;
    (exact + share as usize).min(side - 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each bucket begins, as torch 2.11 gives it for the two configurations of the goldens.
    #[test]
    fn buckets_begin_where_the_reference_has_them() {
        let cases: [(usize, usize, &[usize]); 2] = [
            (32, 128, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]),
            (16, 64, &[0, 1, 2, 3, 4, 8, 16, 32]),
        ];
        for (buckets, distance, starts) in cases {
            let config = Umt5Config {
                relative_attention_num_buckets: buckets,
                relative_attention_max_distance: distance,
                ..Umt5Config::umt5_xxl()
            };
            for distance in 0..=600 {
                let expected = starts.iter().filter(|start| **start <= distance).count() as i64 - 1;
                assert_eq!(bucket(distance, &config), expected, "{buckets} buckets, distance {distance}");
            }
        }
    }

    #[test]
    fn tokens_after_have_buckets_of_their_own() {
        let found = position_buckets(3, &Umt5Config::umt5_xxl());
        assert_eq!(found, [0, 17, 18, 1, 0, 17, 2, 1, 0]);
    }
}
