//! The known name that was probably meant.

/// The least similarity of a hint, from 0 to 1. A hint at random misleads: `SKYTALE_SERVICE_HOST`, which Kubernetes
/// sets, is 0.69 like `SKYTALE_INSECURE_LISTEN`.
const MIN_SIMILARITY: f64 = 0.8;

/// Returns the candidate whose name is most similar, unless none is similar enough.
pub fn nearest<T, N: AsRef<str>>(unknown: &str, candidates: impl Iterator<Item = (N, T)>) -> Option<T> {
    candidates
        .map(|(name, candidate)| (strsim::jaro_winkler(unknown, name.as_ref()), candidate))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}
