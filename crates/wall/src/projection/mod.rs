//! What a wall is, made of its log: which posts there are, what has become of them, and how many. `fold` is the
//! making, pure; `follow` keeps one up to date for each wall that is looked at; `page` reads posts as they are
//! now. Everything in it comes out of the log, so that all nodes have the same, and a lost one is made again.

mod fold;
mod follow;
mod page;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    fold::{EDIT, Edit, Projection, REMOVE, Removal},
    follow::{Live, Projections},
    page::{Slip, read_one, read_page},
};
