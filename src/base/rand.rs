//! Randomness, addressed by what it is for and never by when it happens.
//!
//! A [`Seed`] makes named streams ([`Rand`], ChaCha8) for draws whose order the scenario fixes, and a call's
//! key makes [`Draws`] for what belongs to one attempt, whoever asks first. Every conversion takes a fixed
//! number of draws: no rejection, no cached second value. (Only a pick may draw half a number, where that decides:
//! [`Rand::by_upper_half`].) Renaming a stream changes results.

use rand_chacha::ChaCha8Core;
use rand_core::SeedableRng;
use rand_core::block::Generator;

/// A run's seed with a path of names: `seed.child("client/0").stream("balancer")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    run: u64,
    path: String,
}

impl Seed {
    /// The root of a run.
    pub fn new(run: u64) -> Self {
        Seed { run, path: String::new() }
    }

    /// The root of the same run: for what clients have in common.
    pub fn root(&self) -> Seed {
        Seed::new(self.run)
    }

    /// The seed below a name.
    pub fn child(&self, name: &str) -> Seed {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Seed { run: self.run, path }
    }

    /// The stream of this name: its key is BLAKE3 over the run's seed and the full name.
    pub fn stream(&self, name: &str) -> Rand {
        Rand { core: ChaCha8Core::from_seed(self.key(name)), block: [0; BLOCK], used: BLOCK }
    }

    /// A 64-bit number that belongs to this name, for hash functions that take a seed.
    pub fn number(&self, name: &str) -> u64 {
        let key = self.key(name);
        u64::from_le_bytes([key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7]])
    }

    fn key(&self, name: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"plimsoll/stream/v1\0");
        hasher.update(&self.run.to_le_bytes());
        hasher.update(self.child(name).path.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// A source of uniform 64-bit numbers, with the conversions that the program uses.
pub trait Bits {
    /// The next 64 bits.
    fn next_u64(&mut self) -> u64;

    /// The next two numbers, if they are made already: for whoever wants to know early what it will draw. They stay where
    /// they are.
    fn ahead(&self) -> Option<[u64; 2]> {
        None
    }

    /// The next numbers, drawn if they are made already. What then need not make any more numbers calls nobody, which a
    /// pick is short enough to notice; whoever gets `None` draws one by one, and gets the same.
    #[inline(always)]
    fn made<const N: usize>(&mut self) -> Option<[u64; N]> {
        None
    }

    /// Uniform in (0, 1), never 0 or 1, exact. One draw.
    #[inline]
    fn unit(&mut self) -> f64 {
        // The bits of a number in [1, 2), half a step up and down to (0, 1): the same as the sum, and it spares the
        // conversion from an integer. Both are exact.
        let one_to_two = f64::from_bits(1f64.to_bits() | self.next_u64() >> 12);
        one_to_two - (1.0 - 0.5 / (1u64 << 52) as f64)
    }

    /// Uniform below `n`. One draw; the bias is below `n / 2^64`.
    #[inline]
    fn below(&mut self, n: u64) -> u64 {
        below(self.next_u64(), n)
    }

    /// Two different numbers below `n`, in random order. Two draws. `n` must be 2 or more.
    #[inline]
    fn two_below(&mut self, n: u64) -> (u64, u64) {
        debug_assert!(n >= 2);
        let a = self.below(n);
        let b = self.below(n - 1);
        (a, if b >= a { b + 1 } else { b })
    }

    /// True with the probability of `chance`. One draw.
    fn chance(&mut self, chance: Chance) -> bool {
        let draw = self.next_u64();
        chance.certain || draw < chance.threshold
    }

    /// Fisher-Yates. One draw for each element but the last.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

/// The number below `n` that a draw stands for, and how far between that number and the next, in parts of 2^32, if its
/// upper half says both: see [`Rand::by_upper_half`]. The lower half adds less than `n` to the parts.
#[inline(always)]
pub fn below_by_upper_half(upper: u32, n: u32) -> Option<(u32, u32)> {
    let product = u64::from(upper) * u64::from(n);
    let parts = product as u32;
    parts.checked_add(n)?;
    Some(((product >> 32) as u32, parts))
}

/// The number below `n` that a draw stands for.
#[inline(always)]
pub fn below(draw: u64, n: u64) -> u64 {
    ((u128::from(draw) * u128::from(n)) >> 64) as u64
}

/// A probability as an integer threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance {
    threshold: u64,
    certain: bool,
}

impl Chance {
    /// Never.
    pub const NEVER: Chance = Chance { threshold: 0, certain: false };

    /// `p` below 0 counts as 0, above 1 as 1.
    pub fn new(p: f64) -> Chance {
        let threshold = (p.clamp(0.0, 1.0) * TWO_64).floor();
        Chance { threshold: if threshold >= TWO_64 { u64::MAX } else { threshold as u64 }, certain: p >= 1.0 }
    }

    /// True if it never happens.
    pub const fn is_never(self) -> bool {
        self.threshold == 0 && !self.certain
    }
}

const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// A named stream: the words of ChaCha8 in order, two a number, the lower half first. That is what the crate's own
/// generator hands out, without its care for callers that mix sizes.
#[derive(Clone)]
pub struct Rand {
    core: ChaCha8Core,
    block: [u32; BLOCK],
    used: usize,
}

/// Words that the generator makes at a time.
const BLOCK: usize = 64;

impl Rand {
    #[cold]
    #[inline(never)]
    fn refill(&mut self) {
        self.core.generate(&mut self.block);
    }

    /// What the next number stands for, if it is made already and its upper half is enough to `decide`; its lower half
    /// is then not drawn, which halves the cost of the draw. Whoever gets `None` has drawn nothing, takes
    /// [`next_upper_first`](Self::next_upper_first) and decides with the same outcome as anybody who has both halves, so
    /// nothing is lost in precision.
    #[inline(always)]
    pub fn by_upper_half<T>(&mut self, decide: impl FnOnce(u32) -> Option<T>) -> Option<T> {
        let decided = decide(*self.block.get(self.used)?)?;
        self.used += 1;
        Some(decided)
    }

    /// The word that is drawn `after` others, if it is made already, and otherwise some old one: good for guessing what
    /// is needed soon, and for nothing else. Draws nothing.
    #[inline(always)]
    pub fn word_to_come(&self, after: usize) -> u32 {
        self.block[(self.used + after) % BLOCK]
    }

    /// The next number, its upper half drawn before its lower one.
    pub fn next_upper_first(&mut self) -> u64 {
        let [upper, lower] = std::array::from_fn(|_| self.next_word());
        u64::from(upper) << 32 | u64::from(lower)
    }

    fn next_word(&mut self) -> u32 {
        if self.used == BLOCK {
            self.refill();
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }
}

impl Bits for Rand {
    #[inline(always)]
    fn next_u64(&mut self) -> u64 {
        let mut used = self.used;
        if used > BLOCK - 2 {
            self.refill();
            used = 0;
        }
        let (low, high) = (self.block[used], self.block[used + 1]);
        self.used = used + 2;
        u64::from(high) << 32 | u64::from(low)
    }

    #[inline(always)]
    fn made<const N: usize>(&mut self) -> Option<[u64; N]> {
        let words = self.block.get(self.used..self.used + 2 * N)?;
        let numbers = std::array::from_fn(|i| u64::from(words[2 * i + 1]) << 32 | u64::from(words[2 * i]));
        self.used += 2 * N;
        Some(numbers)
    }

    fn ahead(&self) -> Option<[u64; 2]> {
        let [a, b, c, d] = *self.block.get(self.used..self.used + 4)?.as_array()?;
        Some([u64::from(b) << 32 | u64::from(a), u64::from(d) << 32 | u64::from(c)])
    }
}

impl std::fmt::Debug for Rand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rand")
    }
}

/// Draws that belong to (call, attempt, purpose): the SplitMix64 sequence (Steele, Lea, Flood, OOPSLA 2014)
/// from a start that mixes the three. Two purposes of one attempt are unrelated, and no draw elsewhere
/// moves them.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The draws of `purpose` for attempt `attempt` of the call with this key.
    #[inline]
    pub fn new(call_key: u64, attempt: u32, purpose: Purpose) -> Draws {
        Draws { state: mix(call_key ^ mix((u64::from(attempt) << 8 | purpose as u64).wrapping_mul(GOLDEN))) }
    }
}

impl Bits for Draws {
    #[inline]
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }
}

/// What a draw of an attempt is for. The numbers are part of the semantics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Work that the attempt brings.
    Service = 1,
    /// Whether the backend fails it.
    Error = 2,
    /// How long a failing answer takes.
    ErrorLatency = 3,
    /// Delay of the way there.
    Outbound = 4,
    /// Delay of the way back.
    Inbound = 5,
    /// Whether the message is lost.
    Loss = 6,
    /// The key of a call that has none.
    HashKey = 7,
    /// Work on a cache hit.
    CacheHit = 8,
    /// Delay of the news that the client has gone.
    Cancel = 9,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The SplitMix64 finaliser.
#[inline]
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_name_only() {
        let draw = |seed: u64, child: &str, name: &str| Seed::new(seed).child(child).stream(name).next_u64();
        assert_eq!(draw(1, "client/0", "balancer"), Seed::new(1).stream("client/0/balancer").next_u64());
        assert_ne!(draw(1, "client/0", "balancer"), draw(2, "client/0", "balancer"));
        assert_ne!(draw(1, "client/0", "balancer"), draw(1, "client/1", "balancer"));
    }

    #[test]
    fn known_answers() {
        let mut rand = Seed::new(1).stream("known");
        let first: Vec<u64> = (0..3).map(|_| rand.next_u64()).collect();
        assert_eq!(first, KNOWN_STREAM, "the generator or the derivation of its key changed: results change");
        // SplitMix64 from 0 is published: the first output is the finaliser of the golden gamma.
        let mut draws = Draws { state: 0 };
        assert_eq!(draws.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(draws.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn what_lies_ahead_is_what_comes() {
        let mut rand = Seed::new(1).stream("ahead");
        let mut seen = 0;
        for _ in 0..200 {
            if let Some(next) = rand.ahead() {
                assert_eq!(next, [rand.next_u64(), rand.next_u64()]);
                seen += 1;
            } else {
                rand.next_u64();
            }
        }
        assert!(seen > 150, "it is nearly always known: {seen}");
    }

    #[test]
    fn a_word_to_come_comes_where_it_is_made_already() {
        let words: Vec<u32> = {
            let mut rand = Seed::new(1).stream("to come");
            (0..3 * BLOCK).map(|_| rand.next_word()).collect()
        };
        let mut rand = Seed::new(1).stream("to come");
        for drawn in 0..2 * BLOCK {
            for after in (0..BLOCK).filter(|after| drawn > 0 && (drawn - 1) % BLOCK + 1 + after < BLOCK) {
                assert_eq!(rand.word_to_come(after), words[drawn + after], "{after} after {drawn}");
            }
            assert_eq!(rand.next_word(), words[drawn], "and nothing is drawn");
        }
    }

    #[test]
    fn what_is_made_is_what_is_drawn_one_by_one() {
        let (mut rand, mut other) = (Seed::new(1).stream("made"), Seed::new(1).stream("made"));
        let mut seen = 0;
        for i in 0..400 {
            // An odd number of words is left over at the end of some blocks.
            let step: usize = if i % 5 == 0 { 1 } else { 2 };
            let made = if step == 1 { rand.made::<1>().map(Vec::from) } else { rand.made::<2>().map(Vec::from) };
            seen += usize::from(made.is_some());
            let drawn: Vec<u64> = made.unwrap_or_else(|| (0..step).map(|_| rand.next_u64()).collect());
            assert_eq!(drawn, (0..step).map(|_| other.next_u64()).collect::<Vec<_>>());
        }
        assert!(seen > 300 && seen < 400, "it is nearly always made: {seen}");
    }

    #[test]
    fn an_upper_half_that_decides_decides_as_both_halves_do() {
        let mut rand = Seed::new(1).stream("halves");
        for n in [1, 2, 3, 10, 1_000, 65_537, 1 << 24, (1 << 31) - 1, 1 << 31, 3 << 30, u32::MAX] {
            // All draws around the borders of a number, where the upper half may not be enough, and others.
            let border = |number: u32| ((u128::from(number) << 64) / u128::from(n)) as u64;
            let borders = [0, 1, n / 3, n - 1].map(border);
            let near = borders.iter().flat_map(|border| [0, 1, 1 << 31, 1 << 32, 3 << 32].map(|by| (*border, by)));
            let draws: Vec<u64> = near
                .flat_map(|(border, by)| [border.wrapping_add(by), border.wrapping_sub(by)])
                .chain((0..1_000).map(|_| rand.next_u64()))
                .collect();
            let mut decided = 0u32;
            for draw in &draws {
                let Some((number, parts)) = below_by_upper_half((draw >> 32) as u32, n) else { continue };
                let lower = u64::from(*draw as u32) * u64::from(n);
                let exact = u128::from(*draw) * u128::from(n);
                assert_eq!((u128::from(number) << 64) + (u128::from(parts) << 32) + u128::from(lower), exact);
                assert_eq!(u64::from(number), below(*draw, u64::from(n)), "{draw} below {n}");
                decided += 1;
            }
            // Of 1,040 draws forty are near a border.
            let expected = (1_000.0 * (1.0 - f64::from(n) / TWO_64.sqrt())) as u32;
            assert!(decided + 60 > expected && decided < expected + 100, "{decided} of {} below {n}", draws.len());
        }
    }

    #[test]
    fn half_a_number_is_drawn_or_nothing() {
        let (mut rand, mut other) = (Seed::new(1).stream("half"), Seed::new(1).stream("half"));
        let numbers = std::iter::repeat_with(|| other.next_u64()).take(3 * BLOCK / 2);
        let words: Vec<u32> = numbers.flat_map(|number| [number as u32, (number >> 32) as u32]).collect();
        let upper_first = |at: usize| u64::from(words[at]) << 32 | u64::from(words[at + 1]);
        let halves = |rand: &mut Rand, count| (0..count).filter_map(|_| rand.by_upper_half(Some)).collect::<Vec<u32>>();
        assert_eq!(rand.by_upper_half(Some), None, "nothing is made yet");
        assert_eq!(rand.next_upper_first(), upper_first(0));
        assert_eq!(rand.by_upper_half(|_| None::<u32>), None, "nothing is drawn");
        assert_eq!(halves(&mut rand, BLOCK - 3), words[2..BLOCK - 1]);
        assert_eq!(rand.next_upper_first(), upper_first(BLOCK - 1), "a half in each of two blocks");
        assert_eq!(halves(&mut rand, BLOCK - 2), words[BLOCK + 1..2 * BLOCK - 1]);
        let whole = upper_first(2 * BLOCK).rotate_left(32);
        assert_eq!(rand.next_u64(), whole, "what is left of a block is no whole number");
    }

    const KNOWN_STREAM: [u64; 3] = [10_543_526_545_044_693_654, 18_414_368_250_017_481_281, 9_967_473_955_821_443_523];

    #[test]
    fn conversions_stay_in_range() {
        struct Fixed(u64);
        impl Bits for Fixed {
            fn next_u64(&mut self) -> u64 {
                self.0
            }
        }
        assert!(Fixed(0).unit() > 0.0 && Fixed(u64::MAX).unit() < 1.0);
        assert_eq!((Fixed(0).below(7), Fixed(u64::MAX).below(7)), (0, 6));
        assert_eq!(Fixed(0).two_below(2), (0, 1));
        assert_eq!(Fixed(u64::MAX).two_below(2), (1, 0));
        assert!(Fixed(u64::MAX).chance(Chance::new(1.0)));
        assert!(!Fixed(0).chance(Chance::new(0.0)));
    }

    #[test]
    fn chance_is_its_probability() {
        let mut rand = Seed::new(3).stream("chance");
        let hits = (0..100_000).filter(|_| rand.chance(Chance::new(0.25))).count();
        assert!((24_500..25_500).contains(&hits), "{hits} of 100000 at a quarter");
    }

    #[test]
    fn neighbouring_calls_and_attempts_are_unrelated() {
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..100u64 {
            for attempt in 0..5 {
                for purpose in [Purpose::Service, Purpose::Error, Purpose::Outbound] {
                    assert!(seen.insert(Draws::new(key, attempt, purpose).next_u64()));
                }
            }
        }
    }
}
