//! The suites that kbench ships, as texts. What a suite is and how it is carried out is the harness's: it names plans
//! and clusters, of which nothing is known here.

/// Name and text of each.
pub const SUITES: &[(&str, &str)] = &[
    ("guide-quick", include_str!("../suites/guide-quick.toml")),
    ("guide", include_str!("../suites/guide.toml")),
    ("pre-scaling", include_str!("../suites/pre-scaling.toml")),
    ("nightly", include_str!("../suites/nightly.toml")),
];
