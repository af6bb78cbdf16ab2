//! Wireless interfaces and their stations.
//!
//! What the kernel tells over its generic socket is read from files that hold the same facts; the
//! socket itself is not spoken.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::read::{self, Outcome, Problem};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const FIXTURES: Flag = Flag::text(
    "collector.wifi.fixtures",
    "",
    "Folder with interfaces.json and a folder per interface",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("wifi", &[FIXTURES], build).on_request();

/// Modes of an interface by number.
const MODES: [&str; 11] = [
    "unspecified",
    "ad-hoc",
    "client",
    "access point",
    "access point VLAN",
    "wireless distribution",
    "monitor",
    "mesh point",
    "P2P client",
    "P2P group owner",
    "P2P device",
];

/// Megahertz as hertz.
const MEGA: f64 = 1e6;
/// Nanoseconds of a second.
const NANO: f64 = 1e9;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Interface {
    name: String,
    #[serde(rename = "type")]
    kind: usize,
    frequency: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bss {
    ssid: String,
    bssid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Station {
    hardwareaddr: String,
    connected: f64,
    inactive: f64,
    receivedbytes: f64,
    transmittedbytes: f64,
    receivedpackets: f64,
    transmittedpackets: f64,
    receivebitrate: f64,
    transmitbitrate: f64,
    signal: f64,
    transmitretries: f64,
    transmitfailed: f64,
    beaconloss: f64,
}

fn build(s: &Settings) -> Result<Run, String> {
    let fixtures = s.text(&FIXTURES);
    let folder = (!fixtures.is_empty()).then(|| PathBuf::from(fixtures));
    Ok(Box::new(move |_, out| match &folder {
        Some(f) => collect(f, out),
        None => Err(Problem::Absent(
            "wireless interfaces are only read from --collector.wifi.fixtures".into(),
        )),
    }))
}

fn json<T: serde::de::DeserializeOwned + Default>(path: &Path) -> Result<T, Problem> {
    match read::bytes(path) {
        Err(Problem::Absent(_)) => Ok(T::default()),
        b => serde_json::from_slice(&b?).map_err(|e| Problem::format(path, e)),
    }
}

fn collect(folder: &Path, out: &mut Sink) -> Outcome {
    let interfaces: Vec<Interface> = json(&folder.join("interfaces.json"))?;
    for i in interfaces.iter().filter(|i| !i.name.is_empty()) {
        let device = ("device", i.name.as_str());
        out.gauge(
            "node_wifi_interface_frequency_hertz",
            "The current frequency a WiFi interface is operating at, in hertz.",
            &[device],
            i.frequency * MEGA,
        );
        let folder = folder.join(&i.name);
        let bss: Bss = json(&folder.join("bss.json"))?;
        if !bss.bssid.is_empty() {
            let mode = MODES.get(i.kind).copied().unwrap_or("unspecified");
            out.gauge(
                "node_wifi_station_info",
                "Labeled WiFi interface station information as provided by the operating system.",
                &[
                    device,
                    ("bssid", &address(&bss.bssid)),
                    ("ssid", &bss.ssid),
                    ("mode", mode),
                ],
                1.0,
            );
        }
        let stations: Vec<Station> = json(&folder.join("stationinfo.json"))?;
        for s in &stations {
            station(s, &i.name, out);
        }
    }
    Ok(())
}

fn station(s: &Station, device: &str, out: &mut Sink) {
    let address = address(&s.hardwareaddr);
    let labels = [("device", device), ("mac_address", &address)];
    out.counter(
        "node_wifi_station_connected_seconds_total",
        "The total number of seconds a station has been connected to an access point.",
        &labels,
        s.connected / NANO,
    );
    out.gauge(
        "node_wifi_station_inactive_seconds",
        "The number of seconds since any wireless activity has occurred on a station.",
        &labels,
        s.inactive / NANO,
    );
    out.counter(
        "node_wifi_station_receive_bytes_total",
        "The total number of bytes received by a WiFi station.",
        &labels,
        s.receivedbytes,
    );
    out.counter(
        "node_wifi_station_transmit_bytes_total",
        "The total number of bytes transmitted by a WiFi station.",
        &labels,
        s.transmittedbytes,
    );
    out.counter(
        "node_wifi_station_received_packets_total",
        "The total number of packets received by a station.",
        &labels,
        s.receivedpackets,
    );
    out.counter(
        "node_wifi_station_transmitted_packets_total",
        "The total number of packets transmitted by a station.",
        &labels,
        s.transmittedpackets,
    );
    out.gauge(
        "node_wifi_station_receive_bits_per_second",
        "The current WiFi receive bitrate of a station, in bits per second.",
        &labels,
        s.receivebitrate,
    );
    out.gauge(
        "node_wifi_station_transmit_bits_per_second",
        "The current WiFi transmit bitrate of a station, in bits per second.",
        &labels,
        s.transmitbitrate,
    );
    out.gauge(
        "node_wifi_station_signal_dbm",
        "The current WiFi signal strength, in decibel-milliwatts (dBm).",
        &labels,
        s.signal,
    );
    out.counter(
        "node_wifi_station_transmit_retries_total",
        "The total number of times a station has had to retry while sending a packet.",
        &labels,
        s.transmitretries,
    );
    out.counter(
        "node_wifi_station_transmit_failed_total",
        "The total number of times a station has failed to send a packet.",
        &labels,
        s.transmitfailed,
    );
    out.counter(
        "node_wifi_station_beacon_loss_total",
        "The total number of times a station has detected a beacon loss.",
        &labels,
        s.beaconloss,
    );
}

/// A hardware address in base64 as hexadecimal pairs.
fn address(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    let pairs: Vec<String> = bytes
        .unwrap_or_default()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    pairs.join(":")
}
