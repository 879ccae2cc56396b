//! What can be wrong with a folder that is to be built, and where.

use std::fmt;

use manifest::{FilesError, Origin};

use crate::remote::RemoteError;

/// One failure: where it is, and what it is. Never shows a value.
#[derive(Debug)]
pub struct Error {
    /// File, and line where known; an empty file for a failure that concerns the build as a whole.
    pub origin: Origin,
    /// The object that is concerned, as kustomize prints identities: `Deployment.v1.apps/web.default`.
    pub object: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.file.is_empty() {
            write!(f, "{}: ", self.origin)?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// All failures of a build that could be found in one pass; never empty.
#[derive(Debug)]
pub struct Errors(pub Vec<Error>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

impl Errors {
    /// One failure in one file.
    pub(crate) fn one(file: &str, problem: impl Into<Problem>) -> Self {
        Self(vec![Error::in_file(file, problem)])
    }

    /// Several failures in one file.
    pub(crate) fn many(file: &str, problems: Vec<Problem>) -> Self {
        Self(problems.into_iter().map(|problem| Error::in_file(file, problem)).collect())
    }

    /// `value`, unless there are failures.
    pub(crate) fn unless_any<T>(errors: Vec<Error>, value: T) -> Result<T, Self> {
        if errors.is_empty() { Ok(value) } else { Err(Self(errors)) }
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl Error {
    /// A failure in a file, at the line that the problem knows.
    pub(crate) fn in_file(file: &str, problem: impl Into<Problem>) -> Self {
        let problem = problem.into();
        let line = match &problem {
            Problem::Yaml(error) => error.line().unwrap_or_default(),
            _ => 0,
        };
        Self { origin: Origin { file: file.into(), line }, object: None, problem }
    }

    /// A failure of an object that was read at `origin`.
    pub(crate) fn of_object(origin: &Origin, object: String, problem: impl Into<Problem>) -> Self {
        Self { origin: origin.clone(), object: Some(object), problem: problem.into() }
    }
}

/// What is wrong. The texts hold the original's key phrases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The tree of files has no answer.
    #[error("{0}")]
    Files(#[from] FilesError),
    /// Not YAML, or not the YAML that Go reads.
    #[error("{0}")]
    Yaml(#[from] yaml::Error),
    /// Bytes that are not UTF-8 where text is read.
    #[error("not valid UTF-8")]
    NotText,
    /// A folder without a kustomization file.
    #[error(
        "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{folder}'"
    )]
    NoKustomization {
        /// The folder.
        folder: String,
    },
    /// A folder with several kustomization files.
    #[error("found multiple kustomization files under: {folder}")]
    ManyKustomizations {
        /// The folder.
        folder: String,
    },
    /// A kustomization file that says nothing.
    #[error("kustomization.yaml is empty")]
    Empty,
    /// A field that does not exist.
    #[error("invalid Kustomization: json: unknown field {field:?}")]
    UnknownField {
        /// Its name.
        field: String,
    },
    /// A generated object that was made another kind: upstream hashes the memory of its parser then.
    #[error("the name of a {kind} cannot be made from its content: it must be a ConfigMap or a Secret")]
    NoHash {
        /// The kind.
        kind: String,
    },
    /// A value of the wrong type.
    #[error("invalid Kustomization: json: cannot unmarshal {found} into Go struct field {field} of type {expected}")]
    WrongType {
        /// Dotted path of the field.
        field: String,
        /// Type of the value.
        found: &'static str,
        /// Type that the field has.
        expected: &'static str,
    },
    /// Another kind where a kustomization is expected.
    #[error("kind should be Kustomization or Component")]
    WrongKind,
    /// Another version than the one that exists.
    #[error("apiVersion for {kind} should be {required}")]
    WrongApiVersion {
        /// The kind that the file says.
        kind: String,
        /// The version that it must say.
        required: &'static str,
    },
    /// A component where a kustomization is expected, or the other way round.
    #[error("expected kind {expected} for path '{folder}' but got '{found}'")]
    WrongRole {
        /// `'Component'` or `!= 'Component'`.
        expected: &'static str,
        /// The folder.
        folder: String,
        /// The kind that its file says.
        found: &'static str,
    },
    /// A path of a Flux Kustomization that is not there.
    #[error("kustomization path not found: {path}")]
    NoPath {
        /// The path.
        path: String,
    },
    /// A component of a Flux Kustomization that lies elsewhere.
    #[error("component path '{path}' must be local and relative")]
    ComponentNotLocal {
        /// The path.
        path: String,
    },
    /// Something that kustomize builds and Kubernetes refuses.
    #[error("not an object of Kubernetes: {0}")]
    NoKubernetesObject(manifest::ObjectError),
    /// An entry that is neither a file nor a folder.
    #[error("'{path}': no such file or directory; must build at directory")]
    NotFound {
        /// The entry.
        path: String,
    },
    /// A file where only a folder can be.
    #[error("must build at directory: '{path}': file is not directory")]
    NotAFolder {
        /// The entry.
        path: String,
    },
    /// An absolute path to a folder.
    #[error("new root '{path}' cannot be absolute")]
    AbsoluteRoot {
        /// The entry.
        path: String,
    },
    /// A folder that leads back to one that is being built.
    #[error("cycle detected: candidate root '{folder}' contains visited root '{visited}'")]
    Cycle {
        /// The folder.
        folder: String,
        /// The one that is being built.
        visited: String,
    },
    /// A file outside the kustomization's own folder, where that is forbidden.
    #[error("security; file '{path}' is not in or below '{folder}'")]
    OutsideRoot {
        /// The file.
        path: String,
        /// The folder.
        folder: String,
    },
    /// A remote file or base, where nothing may be fetched.
    #[error("'{address}' is remote, and remote bases are not allowed here")]
    RemoteForbidden {
        /// The address, without its query.
        address: String,
    },
    /// A remote file or base that could not be fetched.
    #[error("'{address}' cannot be fetched: {cause}")]
    RemoteFailed {
        /// The address, without its query.
        address: String,
        /// What the fetcher says.
        cause: RemoteError,
    },
    /// A document separator with something behind it.
    #[error("invalid document separator")]
    BadSeparator,
    /// A document that is not an object.
    #[error("missing Resource metadata")]
    NotAnObject,
    /// An object without a kind.
    #[error("missing kind in object")]
    MissingKind,
    /// An object without a name.
    #[error("missing metadata.name in object")]
    MissingName,
    /// A list whose items are no list.
    #[error("expected array in {kind}/items")]
    ItemsNotAList {
        /// Kind of the list.
        kind: String,
    },
    /// Two objects with one identity.
    #[error("may not add resource with an already registered id: {id}")]
    Duplicate {
        /// The identity.
        id: String,
    },
    /// A generator that adds to an object that is not there.
    #[error("id {id} does not exist; cannot merge or replace")]
    NothingToMerge {
        /// The identity.
        id: String,
    },
    /// A generator that makes an object that is there already.
    #[error("id {id} exists; can not use behavior: '{behavior}', behavior must be merge or replace")]
    AlreadyThere {
        /// The identity.
        id: String,
        /// What the generator says.
        behavior: &'static str,
    },
    /// A generator that could add to several objects.
    #[error("found multiple objects that could accept merge of {id}")]
    MergeAmbiguous {
        /// The identity.
        id: String,
    },
    /// Two objects that the namespace makes equal.
    #[error("namespace transformation produces ID conflict: {id}")]
    NamespaceConflict {
        /// The identity that both get.
        id: String,
    },
    /// A source of key and value that cannot be read.
    #[error("loading KV pairs: {reason}")]
    BadPair {
        /// What is wrong, without the value.
        reason: String,
    },
    /// A key that a generator has twice.
    #[error("configmap {name} illegally repeats the key `{key}`")]
    RepeatedKey {
        /// Name of the generated object.
        name: String,
        /// The key.
        key: String,
    },
    /// A generator without a name.
    #[error("a configmap must have a name")]
    UnnamedGenerator,
    /// A field of another shape than the change needs.
    #[error("wrong node kind: expected {expected} but got {found}")]
    WrongNodeKind {
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// A change that stopped within a field.
    #[error("considering field '{path}': {problem}")]
    AtField {
        /// Path of the field.
        path: String,
        /// What is wrong there.
        problem: Box<Problem>,
    },
    /// A scalar where a path goes on.
    #[error("expected sequence or mapping node")]
    PathEnds,
    /// A path that cannot be followed.
    #[error("{reason}")]
    BadPath {
        /// What is wrong with it.
        reason: String,
    },
    /// A `$patch` directive that does not exist.
    #[error("unknown patch strategy '{directive}'")]
    UnknownDirective {
        /// The directive.
        directive: String,
    },
    /// A patch without content.
    #[error("patch appears to be empty: {patch}")]
    EmptyPatch {
        /// Which patch.
        patch: String,
    },
    /// A patch entry without a patch.
    #[error("must specify one of patch and path")]
    NoPatch,
    /// A patch entry with two patches.
    #[error("patch and path can't be set at the same time")]
    TwoPatches,
    /// Neither kind of patch.
    #[error("unable to parse SM or JSON patch from {patch}")]
    NotAPatch {
        /// Which patch.
        patch: String,
    },
    /// Both kinds of patch.
    #[error("illegally qualifies as both an SM and JSON patch: {patch}")]
    PatchAmbiguous {
        /// Which patch.
        patch: String,
    },
    /// A JSON patch that says not what it changes.
    #[error("must specify a target for JSON patch {patch}")]
    NoTarget {
        /// Which patch.
        patch: String,
    },
    /// An old JSON patch whose target has no name.
    #[error("must specify the target name")]
    NoTargetName,
    /// Several patches with one target.
    #[error(
        "multiple strategic-merge patches in one `patches` entry is not allowed to set `patches.target` field: {patch}"
    )]
    SeveralPatches {
        /// Which patch.
        patch: String,
    },
    /// A patch for an object that is not there.
    #[error(
        "no resource matches strategic merge patch {id:?}: no matches for Id {id}; failed to find unique target for patch {id}"
    )]
    NoMatch {
        /// The identity that the patch names.
        id: String,
    },
    /// A patch for several objects.
    #[error("multiple matches for Id {id}; failed to find unique target for patch {id}")]
    ManyMatches {
        /// The identity that the patch names.
        id: String,
    },
    /// An operation of a JSON patch that does not apply.
    #[error("{reason}")]
    JsonPatch {
        /// Which one, and why, in the original's words.
        reason: String,
    },
    /// A selector that is no regular expression or no label selector.
    #[error("{reason}")]
    BadSelector {
        /// What is wrong with it.
        reason: String,
    },
    /// Replicas for an object that is not there.
    #[error("resource with name {name} does not match a config with the following GVK [{kinds}]")]
    NoReplicas {
        /// The name.
        name: String,
        /// The kinds that were looked through.
        kinds: String,
    },
    /// Two fields that differ in whether they are created.
    #[error("conflicting fieldspecs")]
    ConflictingFieldSpecs,
    /// A reference that could mean several objects.
    #[error("found multiple possible referrals: {ids}")]
    AmbiguousReference {
        /// Their identities.
        ids: String,
    },
    /// A replacement that cannot be done.
    #[error("{reason}")]
    Replacement {
        /// Why not, in the original's words.
        reason: String,
    },
    /// A variable that cannot be read.
    #[error("{reason}")]
    Variable {
        /// Why not, in the original's words.
        reason: String,
    },
    /// An order that does not exist or contradicts itself.
    #[error("{reason}")]
    BadOrder {
        /// What is wrong.
        reason: &'static str,
    },
    /// A plugin that is not one of kustomize's own.
    #[error("external plugins disabled; unable to load external plugin '{kind}'")]
    ExternalPlugin {
        /// Its kind.
        kind: String,
    },
    /// A plugin of kustomize's own that cannot be used here.
    #[error("{reason}")]
    BadPlugin {
        /// Why not.
        reason: String,
    },
    /// A validator that changed something.
    #[error("validator shouldn't modify the resource map")]
    ValidatorChanged,
    /// A chart where none may be rendered.
    #[error("trouble configuring builtin HelmChartInflationGenerator: must specify --enable-helm")]
    ChartsForbidden,
    /// A chart that could not be rendered.
    #[error("chart '{chart}': {reason}")]
    Chart {
        /// Name of the chart.
        chart: String,
        /// What is wrong.
        reason: String,
    },
    /// An OpenAPI document that cannot be used.
    #[error("{reason}")]
    BadSchema {
        /// What is wrong.
        reason: String,
    },
    /// A key that is no text below the root of an object.
    #[error("json: unsupported type: map with a key that is no text: {key:?}")]
    KeyNotText {
        /// The key.
        key: String,
    },
    /// A text with a control character.
    #[error("yaml: control characters are not allowed")]
    Unprintable,
    /// A role binding that says a namespace that is no text.
    #[error("Invalid Input: namespace is blank")]
    BlankNamespace,
    /// A key that an object has twice.
    #[error("mapping key {key:?} already defined")]
    KeyTwice {
        /// The key.
        key: String,
    },
    /// More of something than we follow.
    #[error("more than {limit} {what}")]
    TooMuch {
        /// What it is.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// An alias that cannot be followed.
    #[error("{reason}")]
    BadAlias {
        /// Why not.
        reason: &'static str,
    },
}
