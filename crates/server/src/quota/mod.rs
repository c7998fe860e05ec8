//! What one address, and one topic, may take at once: connections (`places`) and publishes in time
//! (`rates`). Counts, and knows no HTTP but for its words. This machine's own programs are not counted.

mod inside;
mod places;
mod rates;

pub(crate) use self::{
    inside::{Everybody, Inside},
    places::{Place, Places},
    rates::Rates,
};
