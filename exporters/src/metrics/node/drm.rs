//! Graphics cards that the driver `amdgpu` runs, from `/sys/class/drm`.
//!
//! Files: the chapter "amdgpu" of the kernel's guide to graphics drivers.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("drm", collect).on_request().whole();

/// File, metric, help.
const NUMBERS: [(&str, &str, &str); 7] = [
    (
        "gpu_busy_percent",
        "node_drm_gpu_busy_percent",
        "How busy the GPU is as a percentage.",
    ),
    (
        "mem_info_gtt_total",
        "node_drm_memory_gtt_size_bytes",
        "The size of the graphics translation table (GTT) block in bytes.",
    ),
    (
        "mem_info_gtt_used",
        "node_drm_memory_gtt_used_bytes",
        "The used amount of the graphics translation table (GTT) block in bytes.",
    ),
    (
        "mem_info_vis_vram_total",
        "node_drm_memory_vis_vram_size_bytes",
        "The size of visible VRAM in bytes.",
    ),
    (
        "mem_info_vis_vram_used",
        "node_drm_memory_vis_vram_used_bytes",
        "The used amount of visible VRAM in bytes.",
    ),
    (
        "mem_info_vram_total",
        "node_drm_memory_vram_size_bytes",
        "The size of VRAM in bytes.",
    ),
    (
        "mem_info_vram_used",
        "node_drm_memory_vram_used_bytes",
        "The used amount of VRAM in bytes.",
    ),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/drm");
    for (card, number) in read::numbered(&folder, "card").unwrap_or_default() {
        // Others are connectors of a card.
        if number.len() != 1 || !number.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let device = folder.join(&card).join("device");
        if !read::text(&device.join("uevent"))?.contains("DRIVER=amdgpu") {
            continue;
        }
        let fact = |file: &str| read::word_or_empty(&device.join(file));
        let name = ("card", card.as_str());
        out.gauge(
            "node_drm_card_info",
            "Card information",
            &[
                name,
                ("memory_vendor", &fact("mem_info_vram_vendor")),
                (
                    "power_performance_level",
                    &fact("power_dpm_force_performance_level"),
                ),
                ("unique_id", &fact("unique_id")),
                ("vendor", "amd"),
            ],
            1.0,
        );
        // Not every card has all of them.
        for (file, metric, help) in NUMBERS {
            let v = read::count(&fact(file)).unwrap_or(0.0);
            out.gauge(metric, help, &[name], v);
        }
    }
    Ok(())
}
