//! What a command that only looks has found: one finding a check. `check` and `verify` share the form; how it is shown is
//! decided in `report/findings.rs`.

use std::borrow::Cow;

use serde::Serialize;

use crate::cluster::Target;
use crate::error::Error;

/// What one check has found. As JSON its fields have these names, and `category` and `id` together are a name that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What the check is about, such as `prometheus`; the checks of a category stand together.
    pub category: &'static str,
    /// The check's name within its category.
    pub id: Cow<'static, str>,
    /// What became of it.
    pub outcome: Outcome,
    /// What was found, or why not, in a fragment that names the object.
    pub message: String,
    /// The one thing to run or to change, where there is one.
    pub hint: Option<String>,
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is as it should be.
    Passed,
    /// Something is not.
    Failed,
    /// It could not be told.
    Skipped,
}

impl Finding {
    /// That all is well.
    #[must_use]
    pub fn passed(
        category: &'static str,
        id: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { category, id: id.into(), outcome: Outcome::Passed, message: message.into(), hint: None }
    }

    /// That something is wrong, in the error's words.
    #[must_use]
    pub fn failed(category: &'static str, id: impl Into<Cow<'static, str>>, error: &Error) -> Self {
        let message = [error.to_string()].into_iter().chain(error.causes()).collect::<Vec<_>>().join(": ");
        let hint = error.hint_text().map(str::to_owned);
        Self { category, id: id.into(), outcome: Outcome::Failed, message, hint }
    }

    /// That it could not be told, and why.
    #[must_use]
    pub fn skipped(category: &'static str, id: impl Into<Cow<'static, str>>, why: impl Into<String>) -> Self {
        Self { category, id: id.into(), outcome: Outcome::Skipped, message: why.into(), hint: None }
    }

    /// Itself, with cluster and stack named in the commands of its hint, so that they can be pasted.
    #[must_use]
    pub fn naming(&self, target: &Target) -> Self {
        let hint = self.hint.as_deref().map(|hint| target.name_in(hint));
        Self { hint, ..self.clone() }
    }
}
