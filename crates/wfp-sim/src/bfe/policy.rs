//! What classifies see: per layer, the sublayers by weight and in each the filters by weight.
//!
//! Invariant: a policy never changes; a commit publishes another one. Layers that the commit does not touch are shared.

use super::lifetime::Lifetime;
use super::object::Filter;
use super::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The filters in force.
#[derive(Clone)]
pub(crate) struct Policy {
    layers: BTreeMap<u16, Arc<LayerPolicy>>,
    nothing: Arc<LayerPolicy>,
}

/// The filters of one layer.
#[derive(Default)]
pub(crate) struct LayerPolicy {
    /// Counts the changes; flows authorized under another count are authorized again.
    pub epoch: u64,
    pub sublayers: Vec<SublayerPolicy>,
}

/// The filters of one sublayer of a layer, heaviest first.
pub(crate) struct SublayerPolicy {
    pub filters: Vec<Arc<Filter>>,
}

impl Policy {
    pub fn empty() -> Self {
        Self { layers: BTreeMap::new(), nothing: Arc::default() }
    }

    pub fn layer(&self, id: u16) -> &LayerPolicy {
        self.layers.get(&id).unwrap_or(&self.nothing)
    }

    /// The policy after a change of `layers`; `tie` orders filters of one weight.
    pub(super) fn rebuilt(
        &self,
        store: &Store,
        is_running: bool,
        layers: impl Iterator<Item = u16>,
        epoch: u64,
        tie: &dyn Fn(u64) -> u64,
    ) -> Self {
        let mut policy = self.clone();
        for layer in layers {
            policy.layers.insert(layer, Arc::new(build(store, is_running, layer, epoch, tie)));
        }
        policy
    }
}

fn build(store: &Store, is_running: bool, layer: u16, epoch: u64, tie: &dyn Fn(u64) -> u64) -> LayerPolicy {
    let is_in_force =
        |filter: &Filter| !filter.is_disabled && (filter.common.lifetime == Lifetime::BootTime) != is_running;
    let mut by_sublayer: BTreeMap<u16, Vec<Arc<Filter>>> = BTreeMap::new();
    for filter in store.filters.values().filter(|filter| filter.layer == layer && is_in_force(filter)) {
        by_sublayer.entry(filter.sublayer_weight).or_default().push(Arc::clone(filter));
    }
    let sublayers = by_sublayer.into_values().rev().map(|mut filters| {
        filters.sort_by_key(|filter| std::cmp::Reverse((filter.weight, tie(filter.id))));
        SublayerPolicy { filters }
    });
    LayerPolicy { epoch, sublayers: sublayers.collect() }
}
