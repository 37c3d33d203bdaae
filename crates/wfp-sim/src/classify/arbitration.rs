//! Arbitration between sublayers (learn.microsoft.com "Filter Arbitration").
//!
//! Invariant: a decision without the right to change it is final, but for one case: a callout's block vetoes a permit.

/// What a sublayer can conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Permit,
    Block,
}

/// The conclusion of one sublayer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub action: Action,
    /// Lighter sublayers may not change it.
    pub is_hard: bool,
    pub is_from_callout: bool,
    /// The indication is to vanish without a trace.
    pub absorbs: bool,
    pub filter_id: u64,
    /// The filter is not to leave traces in the log.
    pub is_silent: bool,
}

/// The decision so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub answer: Option<Answer>,
    /// Whether the next sublayer may change it.
    pub is_open: bool,
    /// A callout overruled a hard permit.
    pub is_veto: bool,
}

impl Decision {
    pub fn new() -> Self {
        Self { answer: None, is_open: true, is_veto: false }
    }

    pub fn action(&self) -> Option<Action> {
        self.answer.map(|answer| answer.action)
    }

    /// Nothing that follows can change the outcome.
    pub fn is_final(&self) -> bool {
        !self.is_open && self.action() == Some(Action::Block)
    }

    /// Takes in the conclusion of the next lighter sublayer; says whether it overruled a hard permit.
    pub fn merge(&mut self, answer: Answer) -> bool {
        if self.is_open {
            self.answer = Some(answer);
            self.is_open = !answer.is_hard;
            return false;
        }
        let vetoes = self.action() == Some(Action::Permit) && answer.action == Action::Block && answer.is_from_callout;
        if vetoes {
            self.answer = Some(answer);
            self.is_veto = true;
        }
        vetoes
    }
}
