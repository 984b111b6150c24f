//! The letters by which a person decides about an approval.

use cas_sdk::handlers::Decision;

/// In the order in which they are shown.
pub(super) const LETTERS: [(&str, Decision); 4] = [
    ("y", Decision::Accept),
    ("s", Decision::AcceptForSession),
    ("n", Decision::Decline),
    ("t", Decision::Cancel),
];

/// The decision of a letter.
pub(super) fn of(letter: &str) -> Option<Decision> {
    let mut letters = LETTERS.into_iter();
    letters.find_map(|(one, decision)| (one == letter).then_some(decision))
}

/// The letters of the decisions that are offered: `y/n/t`.
pub(super) fn letters(offers: &[Decision]) -> String {
    let offered = LETTERS.iter().filter(|(_, d)| offers.contains(d));
    offered
        .map(|(letter, _)| *letter)
        .collect::<Vec<_>>()
        .join("/")
}
