//! Which cluster is meant, and the commands that hints give to paste.

use std::fmt;
use std::path::{Path, PathBuf};

/// Which cluster to speak to.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The kubeconfig file; `KUBECONFIG`, `~/.kube/config` or the pod's own account when `None`.
    pub kubeconfig: Option<PathBuf>,
    /// The context; the current one when `None`.
    pub context: Option<String>,
    /// The folder of the stack that is worked on, for the commands of hints; the built-in one when `None`.
    pub stack: Option<PathBuf>,
}

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// By the account of the pod that this runs in.
    OwnAccount,
    /// By a context of the kubeconfig, whatever that is called.
    Context(String),
}

impl fmt::Display for Route {
    /// Writes the context's name, or what the pod's own account is called where others have one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnAccount => f.write_str("in-cluster"),
            Self::Context(name) => f.write_str(name),
        }
    }
}

/// The verbs of this program that hints give to run.
const VERBS: [&str; 5] =
    ["bootstrap up", "bootstrap down", "bootstrap check", "bootstrap credentials", "bootstrap verify"];

impl Target {
    /// The same with the context in use, so that a program or a pasted command goes to this cluster though another context has
    /// become the current one. The pod's own account is used by naming none.
    pub(super) fn pinned(&self, route: &Route) -> Self {
        let context = match route {
            Route::OwnAccount => None,
            Route::Context(name) => Some(name.clone()),
        };
        Self { context, ..self.clone() }
    }

    /// A hint whose commands name cluster and stack, so that they can be pasted wherever others are the current ones. What
    /// it names itself stays.
    #[must_use]
    pub fn name_in(&self, hint: &str) -> String {
        let shown = |path: &Path| path.display().to_string();
        let cluster =
            [("--kubeconfig", self.kubeconfig.as_deref().map(shown)), ("--context", self.context.clone())];
        let stack = [("--stack", self.stack.as_deref().map(shown))];
        let options = |wanted: &[(&str, Option<String>)]| {
            let missing = wanted.iter().filter(|(option, _)| !hint.contains(option));
            let named =
                missing.filter_map(|(option, value)| Some(format!(" {option} {}", quoted(value.as_ref()?))));
            named.collect::<String>()
        };
        let (cluster, stack) = (options(&cluster), options(&stack));
        let hint = hint.replace("kubectl ", &format!("kubectl{cluster} "));
        VERBS.iter().fold(hint, |hint, verb| hint.replace(verb, &format!("{verb}{cluster}{stack}")))
    }
}

/// A word as a shell reads it; none of a command line can hold a NUL.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_cluster_and_stack_once() {
        let blog = Target { context: Some("blog".to_owned()), ..Target::default() };
        for (hint, named) in [
            ("kubectl describe pod/x -n y", "kubectl --context blog describe pod/x -n y"),
            ("go on: bootstrap down --purge-data", "go on: bootstrap down --context blog --purge-data"),
            ("kubectl --context other get x", "kubectl --context other get x"),
            ("wait for it with --wait-lock", "wait for it with --wait-lock"),
        ] {
            assert_eq!(blog.name_in(hint), named);
        }
        let all = Target {
            kubeconfig: Some("/my files/config".into()),
            stack: Some("my-stack".into()),
            ..blog.clone()
        };
        assert_eq!(
            all.name_in("bootstrap up"),
            "bootstrap up --kubeconfig '/my files/config' --context blog --stack my-stack"
        );
        assert_eq!(
            all.name_in("kubectl get x"),
            "kubectl --kubeconfig '/my files/config' --context blog get x"
        );
        assert_eq!(all.name_in(&all.name_in("bootstrap verify")), all.name_in("bootstrap verify"));
    }

    #[test]
    fn the_context_in_use_is_named_and_a_pods_own_account_by_none() {
        let up = |route: &Route| Target::default().pinned(route).name_in("bootstrap up");
        for name in ["blog", &Route::OwnAccount.to_string()] {
            assert_eq!(up(&Route::Context(name.to_owned())), format!("bootstrap up --context {name}"));
        }
        assert_eq!(up(&Route::OwnAccount), "bootstrap up");
    }
}
