use std::net::IpAddr;
use std::sync::LazyLock;

use ourvidz_storage::ReferenceFetcher;
use proptest::prelude::*;

use crate::server::{Scripted, block_on};

static FETCHER: LazyLock<ReferenceFetcher> = LazyLock::new(|| {
    let lookup = Scripted::new(&[&["10.11.12.13", "fd12::13"]]);
    ReferenceFetcher::builder().lookup(lookup).build().unwrap()
});

/// Whatever in `text` reads as an address.
fn addresses(text: &str) -> Vec<IpAddr> {
    let words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'));
    let readings = words.flat_map(|word| {
        let trimmed = word.trim_end_matches(['.', ':']);
        [
            word,
            trimmed,
            trimmed.trim_start_matches(['.', ':']),
            word.rsplit_once(':').map_or("", |(host, _)| host),
        ]
    });
    readings.filter_map(|reading| reading.parse().ok()).collect()
}

fn hosts() -> impl Strategy<Value = String> {
    let number = any::<u32>();
    prop_oneof![
        number.prop_map(|bits| std::net::Ipv4Addr::from(bits).to_string()),
        number.prop_map(|bits| bits.to_string()),
        number.prop_map(|bits| format!("{bits:#x}")),
        number.prop_map(|bits| format!("0{bits:o}")),
        number.prop_map(|bits| format!("{}.{}", bits >> 24, bits & 0xff_ffff)),
        any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from(bits))),
        number.prop_map(|bits| format!("[::ffff:{}]", std::net::Ipv4Addr::from(bits))),
        "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}\\.?",
        "[a-z0-9.:@#%?/\\\\-]{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing is connected to: every name has a private address, and public literals are on port 1.
    #[test]
    fn an_error_shows_no_address_but_its_users(
        scheme in "https|http|HTTPS|[a-z]{1,5}",
        host in hosts(),
        port in ":1|:6379",
        path in "[ -~]{0,20}",
    ) {
        let reference = format!("{scheme}://{host}{port}/{path}?token=c2VjcmV0");
        let error = block_on(FETCHER.fetch(&reference)).unwrap_err();
        let text = format!("{error} {error:?}");
        let written = addresses(&reference);
        for address in addresses(&text) {
            prop_assert!(written.contains(&address), "{} shows {}", text, address);
        }
        prop_assert!(!text.contains("c2VjcmV0"), "{}", text);
    }

    #[test]
    fn any_text_is_an_error_or_a_path(reference in "\\PC{0,60}") {
        let text = block_on(FETCHER.fetch(&reference)).unwrap_err().to_string();
        prop_assert!(!text.contains("10.11.12.13"));
    }
}
