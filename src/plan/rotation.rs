//! The part of a plan that new credentials take: the Secrets with random values, and the pods that read them. Pure.

use std::collections::BTreeSet;

use super::{Plan, PlannedStep};
use crate::error::{Error, Exit};
use crate::manifest;
use crate::object::{Object, ObjectRef};
use crate::stack::{SecretSpec, SecretValue};

impl Plan {
    /// Leaves only the steps whose Secrets have random values, and those whose pods read one of these and can be made anew, each
    /// after the Secrets that it reads; no release.
    ///
    /// # Errors
    /// Exit 2 when there is no such Secret, or one comes only after pods that read it.
    pub fn into_rotation(mut self) -> Result<Self, Error> {
        let makers = self.makers();
        if makers.is_empty() {
            let message = format!("no step of the stack {} makes a Secret with a random value", self.stack);
            return Err(Error::new(Exit::Usage, message)
                .hint("change a value where it is written, and let its readers start anew: bootstrap up"));
        }
        let mut kept: BTreeSet<_> = makers.iter().map(|(maker, _)| maker.clone()).collect();
        for (maker, secret) in &makers {
            for reader in self.readers(secret) {
                self.put_after(&reader, maker, secret)?;
                kept.insert(reader);
            }
        }
        for name in self.steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>() {
            if !kept.contains(&name) {
                self.leave_out(&name);
            }
        }
        for step in &mut self.steps {
            step.release = None;
        }
        Ok(self)
    }

    /// Which of these objects run pods that read a Secret with random values: each with that Secret.
    pub fn reading<'a>(
        &self,
        objects: impl Iterator<Item = &'a Object>,
    ) -> impl Iterator<Item = (&'a Object, ObjectRef)> {
        let secrets: Vec<_> = self.makers().into_iter().map(|(_, secret)| secret).collect();
        objects.filter_map(move |object| {
            let read = secrets.iter().find(|secret| reads(object, secret))?;
            Some((object, read.clone()))
        })
    }

    /// The steps that make Secrets with random values, each with its Secret.
    fn makers(&self) -> Vec<(String, ObjectRef)> {
        let is_random =
            |spec: &&SecretSpec| spec.data.values().any(|value| matches!(value, SecretValue::Random(_)));
        let makers = self.steps.iter().filter_map(|step| {
            let spec = step.secret.as_ref().filter(is_random)?;
            Some((step.name.clone(), self.secret_ref(&spec.name)))
        });
        makers.collect()
    }

    /// The steps with pods that read a Secret and can be made anew.
    fn readers(&self, secret: &ObjectRef) -> Vec<String> {
        let is_reader = |object: &Object| reads(object, secret) && manifest::renews_pods(object);
        let has_reader =
            |step: &&PlannedStep| step.waves.iter().flatten().any(|manifest| is_reader(&manifest.object));
        self.steps.iter().filter(has_reader).map(|step| step.name.clone()).collect()
    }

    /// Lets a step wait for the one that makes a Secret which its pods read.
    fn put_after(&mut self, reader: &str, maker: &str, secret: &ObjectRef) -> Result<(), Error> {
        if self.is_after(maker, reader) {
            let message = format!("step {reader} reads {secret}, which step {maker} makes after it");
            let hint = format!("turn it round in stack.yaml: let {reader} need {maker}");
            return Err(Error::new(Exit::Usage, message).hint(hint));
        }
        for step in self.steps.iter_mut().filter(|step| step.name == reader && reader != maker) {
            step.needs.insert(maker.to_owned());
        }
        Ok(())
    }

    /// Tells whether a step waits for another, be it by way of others.
    fn is_after(&self, step: &str, other: &str) -> bool {
        let found = self.steps.iter().find(|known| known.name == step);
        found.is_some_and(|found| found.needs.iter().any(|need| need == other || self.is_after(need, other)))
    }
}

fn reads(object: &Object, secret: &ObjectRef) -> bool {
    object.metadata.namespace == secret.namespace && manifest::reads_secret(object, &secret.name)
}

#[cfg(test)]
mod tests {
    use crate::error::{Error, Exit};
    use crate::plan::{Plan, Selection};
    use crate::stack::Stack;

    const MAKER: &str = "secret: {name: s, data: {user: {value: me}, password: {random: 9}}}";

    /// A stack of these steps, beside a Deployment that reads the Secret and a ConfigMap.
    fn rotation(steps: &str) -> Result<Vec<String>, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let reader = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {containers: [{name: \
                      c, envFrom: [{secretRef: {name: s}}]}]}}}\n";
        let unrelated = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
        let stack = format!("name: s\nnamespace: n\nsteps:\n{steps}");
        for (file, text) in
            [("stack.yaml", stack.as_str()), ("reader.yaml", reader), ("plain.yaml", unrelated)]
        {
            std::fs::write(folder.path().join(file), text).expect("written");
        }
        let plan = Plan::new(&Stack::load(folder.path())?, &Selection::default())?.into_rotation()?;
        let told = plan.steps.iter().map(|step| {
            assert!(step.release.is_none(), "helm has nothing to do with it");
            format!("{} < {}", step.name, Vec::from_iter(step.needs.clone()).join(" "))
        });
        Ok(told.collect())
    }

    #[test]
    fn the_secret_and_its_readers_are_left_and_in_order() {
        let steps = format!(
            "  - {{name: first, manifests: [plain.yaml]}}\n  - {{name: reader, needs: [first], manifests: [reader.yaml]}}\n  - \
             {{name: maker, needs: [first], {MAKER}}}\n  - {{name: last, needs: [reader], helm: {{release: r, chart: 'oci://x/c', \
             version: 1.0.0}}}}\n"
        );
        assert_eq!(rotation(&steps).expect("a plan"), ["reader < maker", "maker < "]);
        let one = format!("  - {{name: all, {MAKER}, manifests: [reader.yaml]}}\n");
        assert_eq!(rotation(&one).expect("a plan"), ["all < "]);
    }

    #[test]
    fn a_stack_without_a_random_value_and_a_secret_that_comes_too_late_are_refused() {
        let fixed = "  - {name: maker, secret: {name: s, data: {user: {value: me}}}}\n";
        let refused = rotation(fixed).expect_err("nothing is random");
        assert_eq!(refused.to_string(), "no step of the stack s makes a Secret with a random value");
        assert_eq!(refused.exit(), Exit::Usage);
        let late = format!(
            "  - {{name: reader, manifests: [reader.yaml]}}\n  - {{name: between, needs: [reader], manifests: [plain.yaml]}}\n  - \
             {{name: maker, needs: [between], {MAKER}}}\n"
        );
        let refused = rotation(&late).expect_err("the maker waits for its reader");
        assert_eq!(refused.to_string(), "step reader reads secret/s -n n, which step maker makes after it");
    }
}
