//! Which helm it is, and whether this program can work with it.

use std::fmt;

use crate::error::{Error, Exit};

/// The first Helm 3 whose `uninstall` knows `--ignore-not-found` and that pulls charts from registries.
const OLDEST: Version = Version { major: 3, minor: 13 };

/// The first whose `upgrade` knows `--take-ownership`.
pub(super) const TAKES_OWNERSHIP: Version = Version { major: 3, minor: 17 };

/// The newest major version whose flags are known.
const NEWEST_MAJOR: u32 = 4;

/// Major and minor; a build from source says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
}

impl Version {
    /// Reads what `helm version` printed, such as `v4.3.1` or `v3.22+g1234567`.
    pub(super) fn supported(printed: &str) -> Result<Self, Error> {
        let version = Self::parse(printed.trim()).ok_or_else(|| {
            Error::new(Exit::Preflight, format!("helm says a version that is none: {:?}", printed.trim()))
        })?;
        if version < OLDEST {
            return Err(Error::new(
                Exit::Preflight,
                format!("helm {version} is too old, {OLDEST} is needed"),
            ));
        }
        if version.major > NEWEST_MAJOR {
            let message =
                format!("helm {version} is not known to this program, {NEWEST_MAJOR} is the newest");
            return Err(Error::new(Exit::Preflight, message));
        }
        Ok(version)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v')?.split(['.', '+', '-']).map(str::parse);
        Some(Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_builds_from_source_are_understood() {
        for (printed, major, minor) in
            [("v4.3.1\n", 4, 3), ("v3.22.0+g1234567", 3, 22), ("v3.22", 3, 22), ("v4.4.0-rc.1", 4, 4)]
        {
            let version = Version::supported(printed).expect(printed);
            assert_eq!(version, Version { major, minor }, "{printed}");
        }
    }

    #[test]
    fn what_is_too_old_too_new_or_no_version_is_refused_before_anything_changes() {
        for (printed, message) in [
            ("v2.17.0", "helm 2.17 is too old, 3.13 is needed"),
            ("v3.9.4", "helm 3.9 is too old, 3.13 is needed"),
            ("v5.0.0", "helm 5.0 is not known to this program, 4 is the newest"),
            ("usage: helm", "helm says a version that is none: \"usage: helm\""),
        ] {
            let error = Version::supported(printed).expect_err(printed);
            assert_eq!((error.exit(), error.to_string().as_str()), (Exit::Preflight, message));
        }
    }
}
