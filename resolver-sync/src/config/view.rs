//! One view of the configuration.

use std::time::Duration;

use resolver_core::Name;
use serde::Deserialize;

use super::SourceConfig;
use super::duration::Span;
use crate::policy::{Ejection, Policies, PolicyError, TagBits, ZoneRule, Zones};
use crate::view::{Policy, View};

/// Longer than anybody means.
const DAY: Duration = Duration::from_secs(86_400);

/// A named query. Names of two words may be written with `-` in place of `_`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// What readers resolve.
    pub name: String,
    /// A source's name.
    pub source: String,
    /// The service's name there; the view's own name where there is none.
    pub service: Option<String>,
    /// Tags that an instance must all have.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How the primary is chosen.
    #[serde(default)]
    pub policy: Policy,
    /// See [`Policies::tag_bits`].
    #[serde(default, alias = "tag-bits")]
    pub tag_bits: Vec<String>,
    #[serde(default, alias = "fail-back")]
    fail_back: Span,
    /// Whether the host's own zone comes first.
    #[serde(default)]
    pub zone: ZoneConfig,
    /// How many of the own zone's endpoints must be able to serve, so that they serve alone; 1 where there is none.
    #[serde(alias = "zone-min")]
    pub zone_min: Option<u16>,
    #[serde(default, alias = "slow-start")]
    slow_start: Span,
    /// See [`Policies::panic_threshold`].
    #[serde(default, alias = "panic-threshold")]
    pub panic_threshold: u8,
    /// See [`Policies::ejection`].
    pub ejection: Option<EjectionConfig>,
    /// See [`Policies::smooth`].
    #[serde(default)]
    pub smooth: bool,
    /// See [`Policies::maglev`].
    #[serde(default)]
    pub maglev: u32,
}

/// Whether the host's own zone comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneConfig {
    /// Zones make no difference.
    #[default]
    Any,
    /// See [`ZoneRule::Prefer`].
    Prefer,
}

/// When reported failures take an endpoint out; what is left out is as in [`Ejection::default`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EjectionConfig {
    failures: Option<u32>,
    base: Option<Span>,
    max: Option<Span>,
    #[serde(alias = "max-ejected")]
    max_ejected: Option<u8>,
}

impl EjectionConfig {
    fn rule(&self) -> Result<Ejection, PolicyError> {
        let rule = Ejection::default();
        let base = self.base.map_or(rule.base, |base| base.0);
        Ejection {
            failures: self.failures.unwrap_or(rule.failures),
            base,
            // A base over the default maximum is meant.
            max: self.max.map_or(rule.max.max(base), |max| max.0),
            max_ejected: self.max_ejected.unwrap_or(rule.max_ejected),
        }
        .check()
    }
}

impl ViewConfig {
    /// The view.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for a policy that makes no sense.
    pub fn view(&self) -> Result<View, PolicyError> {
        let policies = Policies {
            tag_bits: TagBits::new(self.tag_bits.clone())?,
            fail_back: self.fail_back.0,
            zone: match self.zone {
                ZoneConfig::Any => ZoneRule::Any,
                ZoneConfig::Prefer => ZoneRule::Prefer { min: self.zone_min.unwrap_or(1) },
            },
            slow_start: self.slow_start.0,
            panic_threshold: self.panic_threshold,
            ejection: self.ejection.as_ref().map(EjectionConfig::rule).transpose()?,
            smooth: self.smooth,
            maglev: self.maglev,
        };
        Ok(View {
            name: self.name.clone(),
            source: self.source.clone(),
            service: self.service.clone().unwrap_or_else(|| self.name.clone()),
            tags: self.tags.clone(),
            policy: self.policy,
            policies,
        })
    }

    pub(super) fn check(&self, sources: &[SourceConfig], zones: &Zones) -> Result<(), String> {
        Name::new(&self.name).check().map_err(|error| error.to_string())?;
        let view = self.view().map_err(|error| error.to_string())?;
        let Some(source) = sources.iter().find(|source| source.name == self.source) else {
            return Err(format!("its source is {:?}, which there is not", self.source));
        };
        if !source.watches(&view.service) {
            let (service, source) = (&view.service, &self.source);
            return Err(format!(
                "it asks for {service:?}, which is not among the services of source {source:?}"
            ));
        }
        match (self.zone, self.zone_min) {
            (ZoneConfig::Any, Some(_)) => return Err("zone_min wants zone = \"prefer\"".into()),
            (ZoneConfig::Prefer, Some(0)) => return Err("zone_min is 0; it takes one at least".into()),
            (ZoneConfig::Prefer, _) if zones.own().is_none() => {
                return Err("zone = \"prefer\" wants the host's own: set zone and zones in [host]".into());
            }
            _ => {}
        }
        let start = view.policies.slow_start;
        if !start.is_zero() && !(Duration::from_secs(1)..=DAY).contains(&start) {
            return Err(format!("slow_start is {start:?}; it must be 1s to 24h, or \"off\""));
        }
        if view.policies.fail_back > DAY {
            return Err(format!(
                "fail_back is {:?}; it must be at most 24h, or \"immediate\"",
                view.policies.fail_back
            ));
        }
        if self.panic_threshold > 100 {
            return Err(format!("panic_threshold is {}; it is 0 to 100 percent", self.panic_threshold));
        }
        if self.maglev != 0 && !(100..=1_000_000).contains(&self.maglev) {
            return Err(format!(
                "maglev is {}; it must be 100 places for each endpoint that serves, and at most 1000000",
                self.maglev
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    const HEAD: &str = "[[source]]\nname = \"f\"\nkind = \"file\"\npath = \"/x\"\n\
                        [host]\nzones = [\"a\", \"b\"]\nzone = \"b\"\n[[view]]\nname = \"v\"\nsource = \"f\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("agent.toml")).map_err(|error| error.to_string())
    }

    fn view(more: &str) -> View {
        let config = parse(&format!("{HEAD}{more}")).expect(more);
        config.views().remove(0)
    }

    #[test]
    fn everything_is_off_unless_it_is_named() {
        assert_eq!(view("").policies, Policies::default());
        assert_eq!(
            view("fail_back = \"immediate\"\nslow_start = \"off\"\nzone = \"any\"\n").policies,
            Policies::default()
        );
    }

    #[test]
    fn each_setting_arrives() {
        let view = view(
            "tag_bits = [\"x\", \"y\"]\nfail-back = \"30s\"\nzone = \"prefer\"\nzone_min = 2\nslow-start = \"1m\"\n\
             panic-threshold = 50\nejection = { failures = 3, base = \"10m\", max-ejected = 20 }\n\
             smooth = true\nmaglev = 1000\n",
        );
        let ejection = Ejection {
            failures: 3,
            base: Duration::from_secs(600),
            max: Duration::from_secs(600),
            max_ejected: 20,
        };
        assert_eq!(
            view.policies,
            Policies {
                tag_bits: TagBits::new(vec!["x".into(), "y".into()]).expect("good"),
                fail_back: Duration::from_secs(30),
                zone: ZoneRule::Prefer { min: 2 },
                slow_start: Duration::from_secs(60),
                panic_threshold: 50,
                ejection: Some(ejection),
                smooth: true,
                maglev: 1000,
            }
        );
        let config = parse(HEAD).expect("good");
        assert_eq!((config.zones().number("a"), config.zones().own()), (1, Some(2)));
    }

    #[test]
    fn nonsense_is_refused_in_clear_words() {
        for (more, words) in [
            ("tag_bits = [\"x\", \"x\"]\n", "\"x\" twice"),
            ("fail_back = 30\n", "line 11"),
            ("fail_back = \"30\"\n", "\"30s\""),
            ("fail_back = \"25h\"\n", "24h"),
            ("slow_start = \"500ms\"\n", "1s to 24h"),
            ("zone = \"nearest\"\n", "prefer"),
            ("zone_min = 2\n", "zone = \"prefer\""),
            ("zone = \"prefer\"\nzone_min = 0\n", "one at least"),
            ("panic_threshold = 101\n", "0 to 100"),
            ("panic_threshold = -1\n", "line 11"),
            ("ejection = { failures = 0 }\n", "failures"),
            ("ejection = { base = \"1m\", max = \"30s\" }\n", "base"),
            ("ejection = { max_ejected = 0 }\n", "1 to 100"),
            ("ejection = { tries = 5 }\n", "tries"),
            ("maglev = 99\n", "100 places"),
            ("maglev = 1000001\n", "at most 1000000"),
            ("[reports]\ngroup = 7\n", "set socket"),
            ("[reports]\nsocket = \"report.sock\"\n", "absolute"),
            ("[reports]\nsocket = \"/run/resolver/..\"\n", "absolute path of a file"),
        ] {
            let error = parse(&format!("{HEAD}{more}")).expect_err(more);
            assert!(error.contains(words), "{more}: {error}");
        }
        let long = format!("{HEAD}[reports]\nsocket = \"/{}\"\n", "x".repeat(80));
        assert!(parse(&long).expect_err("long").contains("81 bytes"));
        for (host, words) in [
            ("", "set zone and zones"),
            ("[host]\nzone = \"c\"\n", "\"c\" is not among"),
            ("[host]\nzones = [\"a\", \"a\"]\n", "twice"),
        ] {
            let text = HEAD.replace("[host]\nzones = [\"a\", \"b\"]\nzone = \"b\"\n", host);
            let error = parse(&(text + "zone = \"prefer\"\n")).expect_err(host);
            assert!(error.contains(words), "{host}: {error}");
        }
    }
}
