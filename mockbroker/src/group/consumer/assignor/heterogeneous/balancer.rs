//! Who of a topic's subscribers is the emptiest, and who the fullest, while partitions are given and moved.
//!
//! The subscribers stand in the order of their loads. The emptiest are a range at the front that is gone through again and
//! again: each time round they all have one more, and those who have as many by then are in it. The fullest are a range at the
//! back, that has one less each time round. They are even when the two meet.
//!
//! Source: `UniformHeterogeneousAssignmentBuilder.MemberAssignmentBalancer`.

/// The subscribers of one topic, from the emptiest to the fullest.
pub(super) struct Balancer {
    sorted: Vec<usize>,
    /// Where the range of the emptiest ends.
    emptiest_end: usize,
    /// What each of them has at least.
    emptiest_load: i32,
    next_emptiest: usize,
    /// Where the range of the fullest begins and ends. Behind it is who has nothing to give.
    fullest_start: usize,
    fullest_end: usize,
    /// What each of them has at most.
    fullest_load: i32,
    /// How many of those before the end are still to come in this round.
    fullest_left: usize,
}

impl Balancer {
    /// Begins with what everyone has now. Of members with the same load the first comes first.
    pub(super) fn new(subscribers: &[usize], loads: &[i32]) -> Self {
        let mut sorted = subscribers.to_vec();
        sorted.sort_by_key(|member| (loads[*member], *member));
        let load_of = |member: Option<&usize>| member.map_or(0, |member| loads[*member]);
        Self {
            emptiest_end: 0,
            emptiest_load: load_of(sorted.first()) - 1,
            next_emptiest: 0,
            fullest_start: sorted.len(),
            fullest_end: sorted.len(),
            fullest_load: load_of(sorted.last()) + 1,
            fullest_left: sorted.len(),
            sorted,
        }
    }

    /// The member that is to have one more.
    pub(super) fn next_emptiest(&mut self, loads: &[i32]) -> usize {
        if self.next_emptiest >= self.emptiest_end {
            self.emptiest_load += 1;
            while self.sorted.get(self.emptiest_end).is_some_and(|member| loads[*member] == self.emptiest_load) {
                self.emptiest_end += 1;
            }
            self.next_emptiest = 0;
        }
        let member = self.sorted[self.next_emptiest];
        self.next_emptiest += 1;
        member
    }

    /// The member that is to have one less; `None` if nobody has anything to give.
    pub(super) fn next_fullest(&mut self, loads: &[i32]) -> Option<usize> {
        if self.fullest_left <= self.fullest_start {
            match self.fullest_start.checked_sub(1) {
                Some(before) if self.fullest_end <= self.fullest_start => {
                    self.fullest_load = loads[self.sorted[before]];
                }
                _ => self.fullest_load -= 1,
            }
            while let Some(before) = self.fullest_start.checked_sub(1)
                && loads[self.sorted[before]] == self.fullest_load
            {
                self.fullest_start = before;
            }
            self.fullest_left = self.fullest_end;
        }
        self.fullest_left = self.fullest_left.checked_sub(1)?;
        Some(self.sorted[self.fullest_left])
    }

    /// The member that was the fullest has nothing to give: it is not asked again.
    pub(super) fn leave_out_fullest(&mut self) {
        self.sorted.swap(self.fullest_left, self.fullest_end - 1);
        self.fullest_end -= 1;
    }

    /// Whether nobody has more than one more than anybody else, of those who can give.
    pub(super) fn is_even(&self) -> bool {
        self.fullest_load - self.emptiest_load <= 1
    }
}
