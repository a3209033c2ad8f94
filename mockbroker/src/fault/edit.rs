//! An answer that a test changes before it is sent.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

/// Changes an answer if it is of its type; says whether it is.
type Change = dyn Fn(&mut dyn Any) -> bool + Send + Sync;

/// A closure over the answer of one API. Made by [`Fault::edit`](super::Fault::edit).
#[derive(Clone)]
pub struct Edit {
    change: Arc<Change>,
    of: &'static str,
}

impl Edit {
    pub(super) fn new<R: 'static>(change: impl Fn(&mut R) + Send + Sync + 'static) -> Self {
        let change = move |answer: &mut dyn Any| match answer.downcast_mut::<R>() {
            Some(answer) => {
                change(answer);
                true
            }
            None => false,
        };
        Self { change: Arc::new(change), of: type_name::<R>().rsplit("::").next().unwrap_or_default() }
    }

    /// Changes `answer`. Whether it is of the type that the closure is for.
    pub(crate) fn change(&self, answer: &mut dyn Any) -> bool {
        (self.change)(answer)
    }

    /// The name of that type.
    pub(crate) fn of(&self) -> &'static str {
        self.of
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.of)
    }
}

/// The same closure, not one that does the same.
impl PartialEq for Edit {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.change, &other.change)
    }
}

impl Eq for Edit {}
