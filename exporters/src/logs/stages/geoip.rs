//! `geoip`: labels that say where an address is, or whose, from a MaxMind database.

use std::net::IpAddr;

use maxminddb::{MaxMindDbError, Reader, geoip2};

use super::{Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::settings::Settings;

/// What a database tells.
#[derive(Clone, Copy)]
enum Kind {
    City,
    Country,
    Asn,
}

/// The stage.
pub(super) struct GeoIp {
    source: Option<String>,
    kind: Kind,
    database: Reader<Vec<u8>>,
}

impl GeoIp {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let kind = match s.text("db_type")?.as_deref().unwrap_or("") {
            "city" => Kind::City,
            "country" => Kind::Country,
            "asn" => Kind::Asn,
            other => return Err(format!("db_type: {other:?} is none of city, country, asn")),
        };
        let path = s.required("db")?;
        let bytes = std::fs::read(path.as_ref()).map_err(|e| format!("db: {path}: {e}"))?;
        let database = Reader::from_source(bytes).map_err(|e| format!("db: {path}: {e}"))?;
        Ok(Self {
            source: s.source()?,
            kind,
            database,
        })
    }

    /// What the database says of an address, as labels. Without a value there is no label.
    fn labels(&self, ip: IpAddr) -> Result<Vec<(&'static str, String)>, MaxMindDbError> {
        let found = self.database.lookup(ip)?;
        let mut out = Vec::new();
        let mut put = |name, value: Option<&str>| {
            let value = value.filter(|v| !v.is_empty());
            out.extend(value.map(|v| (name, v.to_owned())));
        };
        match self.kind {
            Kind::City => {
                let c = found.decode::<geoip2::City<'_>>()?.unwrap_or_default();
                put("geoip_city_name", c.city.names.english);
                put("geoip_country_name", c.country.names.english);
                put("geoip_continent_name", c.continent.names.english);
                put("geoip_continent_code", c.continent.code);
                put("geoip_postal_code", c.postal.code);
                put("geoip_timezone", c.location.time_zone);
                // From the largest to the smallest, which says most.
                if let Some(smallest) = c.subdivisions.last() {
                    put("geoip_subdivision_name", smallest.names.english);
                    put("geoip_subdivision_code", smallest.iso_code);
                }
                let place = (c.location.latitude, c.location.longitude);
                // Without both it says 0 and 0, where nobody lives.
                if let (Some(latitude), Some(longitude)) = place
                    && place != (Some(0.0), Some(0.0))
                {
                    put("geoip_location_latitude", Some(&latitude.to_string()));
                    put("geoip_location_longitude", Some(&longitude.to_string()));
                }
            }
            Kind::Country => {
                let c = found.decode::<geoip2::Country<'_>>()?.unwrap_or_default();
                put("geoip_country_name", c.country.names.english);
                put("geoip_continent_name", c.continent.names.english);
                put("geoip_continent_code", c.continent.code);
            }
            Kind::Asn => {
                let Some(a) = found.decode::<geoip2::Asn<'_>>()? else {
                    return Ok(out);
                };
                let number = a.autonomous_system_number.filter(|n| *n > 0);
                let number = number.map(|n| n.to_string());
                put("geoip_autonomous_system_number", number.as_deref());
                let whose = a.autonomous_system_organization;
                put("geoip_autonomous_system_organization", whose);
            }
        }
        Ok(out)
    }
}

impl Simple for GeoIp {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let ip = entry.input(self.source.as_deref());
        let ip = ip.and_then(|t| t.trim().parse().ok());
        // PST1: what is no address, or not in the database, has no labels.
        let found = ip.and_then(|ip| self.labels(ip).ok());
        for (name, value) in found.unwrap_or_default() {
            entry.set_label(name, value);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::logs::entry::{LabelSet, Value};
    use crate::logs::numbers::Numbers;
    use crate::logs::settings::Node;

    /// A value of the format: a control byte with type and size, then the content.
    enum V {
        Text(&'static str),
        Double(f64),
        U16(u16),
        U32(u32),
        U64(u64),
        Map(Vec<(&'static str, V)>),
        List(Vec<V>),
    }

    fn head(out: &mut Vec<u8>, kind: u8, size: usize) {
        assert!(size < 29 + 256);
        let (short, extra) = match u8::try_from(size) {
            Ok(n) if n < 29 => (n, None),
            _ => (29, u8::try_from(size - 29).ok()),
        };
        match kind {
            8.. => out.extend([short, kind - 7]),
            _ => out.push(kind << 5 | short),
        }
        out.extend(extra);
    }

    fn put(out: &mut Vec<u8>, v: &V) {
        match v {
            V::Text(t) => {
                head(out, 2, t.len());
                out.extend(t.as_bytes());
            }
            V::Double(d) => {
                head(out, 3, 8);
                out.extend(d.to_be_bytes());
            }
            V::U16(n) => {
                head(out, 5, 2);
                out.extend(n.to_be_bytes());
            }
            V::U32(n) => {
                head(out, 6, 4);
                out.extend(n.to_be_bytes());
            }
            V::Map(m) => {
                head(out, 7, m.len());
                for (k, v) in m {
                    put(out, &V::Text(k));
                    put(out, v);
                }
            }
            V::U64(n) => {
                head(out, 9, 8);
                out.extend(n.to_be_bytes());
            }
            V::List(l) => {
                head(out, 11, l.len());
                l.iter().for_each(|v| put(out, v));
            }
        }
    }

    /// A database in which every address that begins with a bit of 1 has `record`: one node of two
    /// pointers of 24 bits, 16 bytes of zero, the record, the description.
    fn database(kind: &'static str, record: &V) -> Vec<u8> {
        let mut out = vec![0, 0, 1, 0, 0, 17];
        out.extend([0; 16]);
        put(&mut out, record);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        let description = V::Map(vec![
            ("node_count", V::U32(1)),
            ("record_size", V::U16(24)),
            ("ip_version", V::U16(4)),
            ("database_type", V::Text(kind)),
            ("languages", V::List(vec![V::Text("en")])),
            ("binary_format_major_version", V::U16(2)),
            ("binary_format_minor_version", V::U16(0)),
            ("build_epoch", V::U64(1_700_000_000)),
            ("description", V::Map(vec![("en", V::Text("made by hand"))])),
        ]);
        put(&mut out, &description);
        out
    }

    fn stage(name: &str, kind: &'static str, record: &V) -> GeoIp {
        let file = format!("sextant-geoip-{name}-{}.mmdb", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, database(kind, record)).unwrap();
        let text = |t: &str| Node::Text(t.to_owned());
        let node = Node::Map(vec![
            (text("db"), text(path.to_str().unwrap())),
            (text("db_type"), text(name)),
            (text("source"), text("ip")),
        ]);
        let made = GeoIp::new(Settings::of(&node).unwrap());
        std::fs::remove_file(path).unwrap();
        made.unwrap()
    }

    fn labels(g: &mut GeoIp, ip: &str) -> String {
        let mut e = Entry::new(0, "a line".into(), Arc::new(LabelSet::new()));
        e.extracted.insert("ip".into(), Value::Text(ip.into()));
        let numbers = Numbers::default();
        assert!(g.apply(
            &mut e,
            Now {
                ns: 0,
                numbers: &numbers
            }
        ));
        let all = e.labels.iter().map(|(n, v)| format!("{n}={v}"));
        all.collect::<Vec<_>>().join(" ")
    }

    fn named(name: &'static str) -> V {
        V::Map(vec![("names", V::Map(vec![("en", V::Text(name))]))])
    }

    #[test]
    fn cities_countries_and_systems_have_their_labels() {
        let country = V::Map(vec![("iso_code", V::Text("US"))]);
        let part = V::Map(vec![
            ("iso_code", V::Text("MO")),
            ("names", V::Map(vec![("en", V::Text("Missouri"))])),
        ]);
        let city = V::Map(vec![
            ("city", named("Kansas City")),
            ("country", named("United States")),
            ("continent", V::Map(vec![("code", V::Text("NA"))])),
            ("postal", V::Map(vec![("code", V::Text("64184"))])),
            ("subdivisions", V::List(vec![country, part])),
            (
                "location",
                V::Map(vec![
                    ("latitude", V::Double(39.1027)),
                    ("longitude", V::Double(-94.5778)),
                    ("time_zone", V::Text("America/Chicago")),
                ]),
            ),
        ]);
        let mut g = stage("city", "GeoLite2-City", &city);
        assert_eq!(
            labels(&mut g, "200.1.2.3"),
            "geoip_city_name=Kansas City geoip_continent_code=NA \
             geoip_country_name=United States geoip_location_latitude=39.1027 \
             geoip_location_longitude=-94.5778 geoip_postal_code=64184 \
             geoip_subdivision_code=MO geoip_subdivision_name=Missouri \
             geoip_timezone=America/Chicago"
        );
        for ip in ["1.2.3.4", "no address", "::1"] {
            assert_eq!(labels(&mut g, ip), "", "{ip}");
        }
        let mut g = stage(
            "country",
            "GeoLite2-Country",
            &V::Map(vec![("country", named("Peru"))]),
        );
        assert_eq!(labels(&mut g, "200.1.2.3"), "geoip_country_name=Peru");
        let asn = V::Map(vec![
            ("autonomous_system_number", V::U32(15169)),
            ("autonomous_system_organization", V::Text("Example Ltd")),
        ]);
        let mut g = stage("asn", "GeoLite2-ASN", &asn);
        assert_eq!(
            labels(&mut g, "200.1.2.3"),
            "geoip_autonomous_system_number=15169 geoip_autonomous_system_organization=Example Ltd"
        );
    }
}
