//! How an engine is booted, and the knobs for what the public record leaves open.

/// What is fixed for the life of one engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The undocumented behaviours.
    pub knobs: Knobs,
    /// Decides everything that Windows leaves to chance: order among equal weights, levels, error codes.
    pub seed: u64,
    /// Values at ALE_AUTH_CONNECT: 32 (Windows 7), 36 (Windows 10), 37 (1703), 41 (1809 and later).
    pub value_count: u32,
    /// The level that callouts are called at.
    pub classify_irql: ClassifyIrql,
    /// Sets bits in the FLAGS value that no header names; callouts must not care.
    pub unknown_flag_bits: bool,
    /// Delivers notifications of deleted filters at `DISPATCH_LEVEL`.
    pub notify_delete_at_dispatch: bool,
    /// Whether the base filtering engine runs at boot.
    pub bfe_running: bool,
    /// Most callouts at a time.
    pub max_callouts: usize,
    /// Most sublayers at a time.
    pub max_sublayers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            knobs: Knobs::default(),
            seed: 1,
            value_count: 41,
            classify_irql: ClassifyIrql::Seeded,
            unknown_flag_bits: false,
            notify_delete_at_dispatch: false,
            bfe_running: true,
            max_callouts: 100_000,
            max_sublayers: 0x1_0000,
        }
    }
}

/// Behaviours that no public source settles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Knobs {
    /// When a completed operation is authorized again.
    pub reauth_mode: ReauthMode,
    /// What a completion does whose socket is gone.
    pub close_while_pended: CloseWhilePended,
    /// What a datagram does whose flow is pended.
    pub second_packet: SecondPacket,
    /// Whether lighter sublayers are asked after a final block.
    pub after_hard_block: AfterHardBlock,
    /// What the sender of a pended datagram is told.
    pub held_send: HeldSend,
    /// What an injected packet of an authorized flow meets.
    pub injected_send: InjectedSend,
    /// When an injected packet goes its way.
    pub injection_time: InjectionTime,
    /// What becomes of a loopback packet that is injected inbound.
    pub loopback_injection: LoopbackInjection,
    /// Which endpoint a SYN is authorized for.
    pub accept_endpoint: AcceptEndpoint,
    /// What becomes of a SYN whose predecessor is held.
    pub syn_retransmit: SynRetransmit,
}

impl Knobs {
    /// Every combination of the first four, and with them every pair of values of any two.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for reauth_mode in [ReauthMode::Inline, ReauthMode::Deferred, ReauthMode::DeferredInClassify] {
            for close_while_pended in
                [CloseWhilePended::Tolerant, CloseWhilePended::ReauthAnyway, CloseWhilePended::Hazard]
            {
                for second_packet in [SecondPacket::Absorb, SecondPacket::ClassifyAgain] {
                    for after_hard_block in [AfterHardBlock::CallWithoutRight, AfterHardBlock::Stop] {
                        // Patterns over the number of the combination, chosen so that the pairs come out.
                        let number = all.len();
                        let bit = |pattern: usize| (number * pattern / 8 + number).is_multiple_of(2);
                        all.push(Self {
                            reauth_mode,
                            close_while_pended,
                            second_packet,
                            after_hard_block,
                            held_send: if bit(3) { HeldSend::Succeeds } else { HeldSend::Fails },
                            injected_send: if bit(5) { InjectedSend::ClassifiedAgain } else { InjectedSend::Passes },
                            injection_time: if bit(7) { InjectionTime::Inline } else { InjectionTime::Deferred },
                            loopback_injection: if bit(11) {
                                LoopbackInjection::Delivered
                            } else {
                                LoopbackInjection::NotAccepted
                            },
                            accept_endpoint: if bit(13) { AcceptEndpoint::Child } else { AcceptEndpoint::Listener },
                            syn_retransmit: if bit(17) { SynRetransmit::Indicated } else { SynRetransmit::Absorbed },
                        });
                    }
                }
            }
        }
        all
    }
}

/// When the reauthorization of a completed operation runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReauthMode {
    /// Inside `FwpsCompleteOperation0`, on the completing thread.
    #[default]
    Inline,
    /// Later, on a worker.
    Deferred,
    /// Inline, but later while a classify is still on the stack.
    DeferredInClassify,
}

/// What completing does after the socket of the operation was closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CloseWhilePended {
    /// It is accepted and nothing follows.
    #[default]
    Tolerant,
    /// The reauthorization runs, and its result is ignored.
    ReauthAnyway,
    /// It is a use after free.
    Hazard,
}

/// What happens to a second datagram of a pended flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecondPacket {
    /// It is dropped like the first.
    #[default]
    Absorb,
    /// It is authorized on its own.
    ClassifyAgain,
}

/// What happens below a sublayer whose block is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AfterHardBlock {
    /// Callouts are still called, without the action right.
    #[default]
    CallWithoutRight,
    /// Evaluation ends.
    Stop,
}

/// What the sender of a pended datagram is told. Reports of both exist, no page says it (R25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HeldSend {
    /// The send succeeds.
    #[default]
    Succeeds,
    /// The send fails.
    Fails,
}

/// What an injected packet meets whose flow is authorized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InjectedSend {
    /// It is classified again, as what was injected (R23).
    #[default]
    ClassifiedAgain,
    /// It passes, as any other packet of the flow.
    Passes,
}

/// When an injected packet goes its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InjectionTime {
    /// Inside the call, with its completion function, unless a classify is on the stack.
    #[default]
    Inline,
    /// Later, on a worker.
    Deferred,
}

/// What becomes of a loopback packet that is injected inbound (O10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LoopbackInjection {
    /// It arrives.
    #[default]
    Delivered,
    /// Its injection ends with `STATUS_DATA_NOT_ACCEPTED`.
    NotAccepted,
}

/// The endpoint that ALE_AUTH_RECV_ACCEPT names for a SYN (O9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AcceptEndpoint {
    /// The connection's own, with the listener as its parent.
    #[default]
    Child,
    /// The listener's; the connection has one of its own when it is established.
    Listener,
}

/// What becomes of a SYN that is sent again while the first is held (O8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SynRetransmit {
    /// It is indicated like the first.
    #[default]
    Indicated,
    /// It is dropped before anybody sees it.
    Absorbed,
}

/// The level of callouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassifyIrql {
    /// `PASSIVE_LEVEL`, or the caller's if that is higher.
    Passive,
    /// `DISPATCH_LEVEL`.
    Dispatch,
    /// One or the other, from the seed.
    Seeded,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_pair_of_knob_values_comes_up() {
        let columns = |knobs: &Knobs| {
            [
                knobs.reauth_mode as usize,
                knobs.close_while_pended as usize,
                knobs.second_packet as usize,
                knobs.after_hard_block as usize,
                knobs.held_send as usize,
                knobs.injected_send as usize,
                knobs.injection_time as usize,
                knobs.loopback_injection as usize,
                knobs.accept_endpoint as usize,
                knobs.syn_retransmit as usize,
            ]
        };
        let all: Vec<[usize; 10]> = Knobs::all().iter().map(columns).collect();
        let values = |at: usize| all.iter().map(|row| row[at]).collect::<HashSet<_>>().len();
        for one in 0..10 {
            for other in 0..one {
                let pairs: HashSet<(usize, usize)> = all.iter().map(|row| (row[one], row[other])).collect();
                assert_eq!(pairs.len(), values(one) * values(other), "knobs {one} and {other}");
                assert!(values(one) > 1);
            }
        }
    }
}
