//! Configuration files: nothing panics, and what loads is shown as a text that loads again and
//! shows the same.
#![no_main]
#![allow(dead_code, reason = "the configuration is read by the server, here only by itself")]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

#[path = "../../server/src/config/mod.rs"]
mod config;

use config::prometheus::{PrometheusConfig, load_text};
use config::web::WebConfig;

fuzz_target!(|data: &[u8]| {
    let Some((kind, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let file = Path::new("fuzz.yml");
    if kind % 2 == 0 {
        drop(config::parse_yaml::<PrometheusConfig>(file, text));
        if let Ok(c) = load_text(file, text) {
            let shown = c.render();
            // Secrets are not shown, and variables are expanded once more: another document.
            if !shown.contains("<secret>")
                && !text.contains('$')
                && let Ok(again) = load_text(file, &shown)
            {
                assert_eq!(shown, again.render());
            }
        }
    } else {
        drop(config::parse_yaml::<WebConfig>(file, text));
    }
});
