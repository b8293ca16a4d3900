//! Portable elementary functions: equal bits on every supported target.
//!
//! The methods of `f64` map to the platform's own library, which differs between systems in the last bit, and a
//! last bit moves an event. So everything that is not exact by IEEE-754 goes through the pinned `libm` crate,
//! here and nowhere else; the rest of this file is built from `+ - * /`, `sqrt` and those few functions, in a
//! fixed order of operations. What a caller may rely on is the bits, not the last digit: [`self_test`] compares
//! them with a constant at start-up.

/// Natural logarithm.
#[inline]
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// `-ln(u)` for `u` in (0, 1), to `4e-16 (1 + result)` and never negative: a standard exponential draw. Half the
/// cost of [`ln`] and no division, because every simulated call needs two: `u` is `2^-k z` with `z` in [1, 2), `z` is
/// `c (1 + r)` with the middle `c` of one of 128 stretches, and a short series gives the rest.
#[inline(always)]
pub fn minus_ln(u: f64) -> f64 {
    debug_assert!(u > 0.0 && u < 1.0, "the logarithm of {u}");
    let bits = u.to_bits();
    let z = f64::from_bits(bits & MANTISSA | 1f64.to_bits());
    let k = (1_023 - (bits >> 52) as i64) as f64;
    let (inverse, ln_c) = STRETCHES[(bits >> 45 & 127) as usize];
    // |r| stays below 2^-8, so the first term left out is below 2^-58.
    let r = z * inverse - 1.0;
    let r2 = r * r;
    let tail = r2 * ((0.5 - r * (1.0 / 3.0)) + r2 * (0.25 - r * 0.2 + r2 * (1.0 / 6.0)));
    ((k * std::f64::consts::LN_2 - ln_c) - (r - tail)).max(0.0)
}

const MANTISSA: u64 = (1 << 52) - 1;

/// `1 / c` and `ln c` for the middle `c` of each 128th of [1, 2).
static STRETCHES: [(f64, f64); 128] = {
    let mut all = [(0.0, 0.0); 128];
    let mut i = 0;
    while i < 128 {
        let c = 1.0 + (i as f64 + 0.5) / 128.0;
        let inverse = 1.0 / c;
        // What belongs to the rounded inverse is its own logarithm: ln c = -ln(inverse) = 2 artanh((1 - i) / (1 + i)).
        let x = (1.0 - inverse) / (1.0 + inverse);
        let (mut sum, mut n) = (0.0, 39);
        while n > 0 {
            sum = sum * x * x + 1.0 / n as f64;
            n -= 2;
        }
        all[i as usize] = (inverse, 2.0 * x * sum);
        i += 1;
    }
    all
};

/// Natural logarithm of `1 + x`, exact for small `x`.
#[inline]
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

/// `e` to the power of `x`.
#[inline]
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// `exp(x) - 1`, exact for small `x`.
#[inline]
pub fn exp_m1(x: f64) -> f64 {
    libm::expm1(x)
}

/// The nearest whole number, ties to even, of a number in `[0, 2^52)`; others are truncated. Adding 2^52 leaves no
/// room for a fraction, and the addition rounds as IEEE-754 says: no call of a library, as `round_ties_even` is on
/// processors without SSE4.1.
#[inline]
pub fn round_to_u64(x: f64) -> u64 {
    const SHIFT: f64 = 4_503_599_627_370_496.0;
    // The sum's last 52 bits are the whole number: no conversion is needed.
    if (0.0..SHIFT).contains(&x) { (x + SHIFT).to_bits() - SHIFT.to_bits() } else { x as u64 }
}

/// The sine of an angle in whole turns, `sin(2 pi x)`.
#[inline]
pub fn sin_turns(x: f64) -> f64 {
    libm::sin(2.0 * std::f64::consts::PI * x)
}

/// `base` to the power of `exponent`.
#[inline]
pub fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

/// The gamma function for `x >= 0.5`, to about 13 digits (Lanczos, g = 7, nine terms). Infinite above 171.6.
pub fn gamma(x: f64) -> f64 {
    debug_assert!(x >= 0.5, "gamma of {x}");
    let z = x - 1.0;
    let mut sum = LANCZOS[0];
    for (i, coefficient) in LANCZOS.iter().enumerate().skip(1) {
        sum += coefficient / (z + i as f64);
    }
    let t = z + 7.5;
    // The power is taken in two halves, so that it does not overflow before the result does.
    let half = pow(t, 0.5 * (z + 0.5));
    SQRT_TWO_PI * half * exp(-t) * half * sum
}

/// The standard normal quantile: Wichura, AS 241 (PPND16), relative error about 1e-16.
/// Infinite at 0 and 1, NaN outside.
pub fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * horner(&CENTRE, r) / horner(&CENTRE_BELOW, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return if tail == 0.0 { f64::INFINITY.copysign(q) } else { f64::NAN };
    }
    let r = (-ln(tail)).sqrt();
    let size = if r <= 5.0 {
        horner(&MIDDLE, r - 1.6) / horner(&MIDDLE_BELOW, r - 1.6)
    } else {
        horner(&FAR, r - 5.0) / horner(&FAR_BELOW, r - 5.0)
    };
    if q < 0.0 { -size } else { size }
}

/// The Student t quantile: the `t` with `P(T <= t) = p` for `df` degrees of freedom, to about 1e-12 relative.
/// For far tails prefer [`student_t_upper`], because `1 - p` loses the digits of a `p` close to 1.
///
/// # Panics
/// When `p` is not in (0, 1) or `df` is 0: both come from the code, never from a user.
pub fn student_t_quantile(p: f64, df: u32) -> f64 {
    if p > 0.5 { student_t_upper(1.0 - p, df) } else { -student_t_upper(p, df) }
}

/// The `t` with `P(T > t) = tail` for `df` degrees of freedom.
///
/// # Panics
/// When `tail` is not in (0, 1) or `df` is 0: both come from the code, never from a user.
pub fn student_t_upper(tail: f64, df: u32) -> f64 {
    assert!(tail > 0.0 && tail < 1.0 && df > 0, "t quantile of tail {tail} at {df} degrees of freedom");
    if tail == 0.5 {
        return 0.0;
    }
    if tail > 0.5 {
        return -student_t_upper(1.0 - tail, df);
    }
    let law = StudentT::new(df);
    let (mut low, mut high) = (0.0, 1.0);
    while law.upper(high) > tail {
        low = high;
        high *= 2.0;
    }
    // Newton on the logarithm of the tail, which is close to linear; a step that leaves the bracket is halved.
    let mut t = 0.5 * (low + high);
    for _ in 0..200 {
        let above = law.upper(t);
        if above > tail {
            low = t;
        } else {
            high = t;
        }
        let step = ln(above / tail) * above / law.density(t);
        let newton = t + step;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - t).abs() <= 1e-15 * next {
            return next;
        }
        t = next;
    }
    t
}

/// `P(Bin(n, 1/2) <= k)`: how likely at most `k` heads in `n` fair tosses are.
pub fn binomial_half_cdf(k: u64, n: u64) -> f64 {
    if k >= n {
        return 1.0;
    }
    // Sum binomial coefficients from 1 upwards. `halvings` is what is still owed of the factor 2^-n; it is paid
    // in exact powers of two whenever the sum grows large, so nothing overflows and nothing is rounded twice.
    let (mut term, mut sum, mut halvings) = (1.0f64, 1.0f64, n);
    for i in 0..k {
        term *= (n - i) as f64 / (i + 1) as f64;
        sum += term;
        if sum > TWO_500 && halvings >= 500 {
            term /= TWO_500;
            sum /= TWO_500;
            halvings -= 500;
        }
    }
    while halvings > 0 && sum > 0.0 {
        let step = halvings.min(60);
        sum /= (1u64 << step) as f64;
        halvings -= step;
    }
    sum
}

/// Student's t with fixed degrees of freedom.
struct StudentT {
    df: f64,
    /// The density at 0: `gamma((df + 1) / 2) / (sqrt(df pi) gamma(df / 2))`.
    peak: f64,
}

impl StudentT {
    fn new(df: u32) -> Self {
        // gamma((n + 1) / 2) / gamma(n / 2) is 1 / sqrt(pi) at 1 and sqrt(pi) / 2 at 2; two steps up multiply it
        // by (n + 1) / n.
        let (mut n, mut ratio) = if df % 2 == 1 { (1, 1.0 / SQRT_PI) } else { (2, 0.5 * SQRT_PI) };
        while n < df {
            ratio *= f64::from(n + 1) / f64::from(n);
            n += 2;
        }
        let df = f64::from(df);
        StudentT { df, peak: ratio / (df.sqrt() * SQRT_PI) }
    }

    fn density(&self, t: f64) -> f64 {
        self.peak * exp(-0.5 * (self.df + 1.0) * ln_1p(t * t / self.df))
    }

    /// `P(T > t)` for `t >= 0`: half the regularised incomplete beta function at `df / (df + t^2)`.
    fn upper(&self, t: f64) -> f64 {
        let (a, b) = (0.5 * self.df, 0.5);
        let (x, y) = (self.df / (self.df + t * t), t * t / (self.df + t * t));
        // x^a y^b / B(a, b) equals t * density(t); the fraction converges fast on its own side of the mean only.
        let front = t * self.density(t);
        if x < (a + 1.0) / (a + b + 2.0) {
            0.5 * front * beta_fraction(a, b, x) / a
        } else {
            0.5 - 0.5 * front * beta_fraction(b, a, y) / b
        }
    }
}

/// The continued fraction of the incomplete beta function, by the method of Lentz.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut c = 1.0;
    let mut d = 1.0 / keep_off_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / keep_off_zero(1.0 + even * d);
        c = keep_off_zero(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / keep_off_zero(1.0 + odd * d);
        c = keep_off_zero(1.0 + odd / c);
        result *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    result
}

fn keep_off_zero(x: f64) -> f64 {
    if x.abs() < 1e-300 { 1e-300 } else { x }
}

/// `c[0] x^7 + c[1] x^6 + … + c[7]`, in this order of operations.
fn horner(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// This machine computes other bits than the ones results are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine's floating point gives other results than the supported ones \
     (digest {found:#018x}, expected {expected:#018x}): a wrong library, or denormal numbers are flushed to zero"
)]
pub struct SelfTestError {
    /// The digest that every supported machine computes.
    pub expected: u64,
    /// The digest that this machine computed.
    pub found: u64,
}

/// Puts 1,000 fixed inputs through the functions of this file and compares a digest of the bits with a constant.
///
/// # Errors
/// When a bit differs: no result of this process could be compared with any other.
pub fn self_test() -> Result<(), SelfTestError> {
    let found = self_test_digest();
    if found == SELF_TEST_DIGEST { Ok(()) } else { Err(SelfTestError { expected: SELF_TEST_DIGEST, found }) }
}

fn self_test_digest() -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let mut state = 0u64;
    for i in 0..1_000u32 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = crate::base::rand::mix(state);
        let u = ((bits >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64);
        // A wide range of magnitudes: about 2^-60 to 2^60. Every eighth input is a denormal number.
        let wide = exp((u - 0.5) * 83.0);
        let tiny = f64::from_bits(bits >> 13);
        let x = if i % 8 == 0 { tiny } else { wide };
        let df = 1 + (bits % 1_023) as u32;
        let t = StudentT::new(df);
        for value in [
            ln(x),
            ln_1p(x),
            ln_1p(-u),
            exp((u - 0.5) * 1_480.0),
            exp_m1(x * (2.0 * u - 1.0)),
            pow(x, 8.0 * u - 4.0),
            x.sqrt(),
            tiny * u,
            gamma(0.5 + 50.0 * u),
            sin_turns(u),
            normal_quantile(u),
            normal_quantile(u * u * u * u),
            t.upper(wide),
        ] {
            // The bits of a NaN differ between processors.
            debug_assert!(!value.is_nan(), "input {i}");
            fold(&mut digest, value.to_bits());
        }
        if i % 16 == 0 {
            fold(&mut digest, student_t_quantile(u, df).to_bits());
            fold(&mut digest, binomial_half_cdf(u64::from(df) / 3, u64::from(df)).to_bits());
        }
    }
    digest
}

/// FNV-1a over the eight bytes.
fn fold(digest: &mut u64, word: u64) {
    for byte in word.to_le_bytes() {
        *digest = (*digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
}

const SELF_TEST_DIGEST: u64 = 0x27d4_4787_9d00_3586;

const SQRT_PI: f64 = 1.772_453_850_905_516;
const SQRT_TWO_PI: f64 = 2.506_628_274_631_000_7;
/// 2^500.
const TWO_500: f64 = f64::from_bits((1_023 + 500) << 52);

const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

// AS 241, highest power first.
const CENTRE: [f64; 8] = [
    2509.0809287301227,
    33430.57558358813,
    67265.7709270087,
    45921.95393154987,
    13731.69376550946,
    1971.5909503065513,
    133.14166789178438,
    3.3871328727963665,
];
const CENTRE_BELOW: [f64; 8] = [
    5226.495278852854,
    28729.085735721943,
    39307.89580009271,
    21213.794301586597,
    5394.196021424751,
    687.1870074920579,
    42.31333070160091,
    1.0,
];
const MIDDLE: [f64; 8] = [
    0.0007745450142783414,
    0.022723844989269184,
    0.2417807251774506,
    1.2704582524523684,
    3.6478483247632045,
    5.769497221460691,
    4.630337846156546,
    1.4234371107496835,
];
const MIDDLE_BELOW: [f64; 8] = [
    1.0507500716444169e-09,
    0.0005475938084995345,
    0.015198666563616457,
    0.14810397642748008,
    0.6897673349851,
    1.6763848301838038,
    2.053191626637759,
    1.0,
];
const FAR: [f64; 8] = [
    2.0103343992922881e-07,
    2.7115555687434876e-05,
    0.0012426609473880784,
    0.026532189526576124,
    0.29656057182850487,
    1.7848265399172913,
    5.463784911164114,
    6.657904643501103,
];
const FAR_BELOW: [f64; 8] = [
    2.0442631033899397e-15,
    1.421511758316446e-07,
    1.8463183175100548e-05,
    0.0007868691311456133,
    0.014875361290850615,
    0.1369298809227358,
    0.599832206555888,
    1.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
        assert!((found - expected).abs() <= tolerance * expected.abs(), "{what}: {found:e}, expected {expected:e}");
    }

    #[test]
    fn exponential_draws_are_logarithms() {
        let mut state = 0u64;
        let check = |u: f64| {
            let (found, exact) = (minus_ln(u), -ln(u));
            assert!(found >= 0.0 && (found - exact).abs() <= 4e-16 * (1.0 + exact), "{u}: {found} beside {exact}");
        };
        for _ in 0..200_000 {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let bits = crate::base::rand::mix(state);
            let u = ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
            check(u);
            check(u * u * u);
        }
        // The ends of the range, and of every stretch.
        for u in [0.5 / (1u64 << 52) as f64, 1.0 - 0.5 / (1u64 << 52) as f64, 0.5, 0.25] {
            check(u);
        }
        for i in 0..256 {
            let edge = 0.5 + f64::from(i) / 512.0;
            check(edge);
            check(edge.next_down());
        }
    }

    #[test]
    fn this_machine_computes_the_supported_bits() {
        assert_eq!(self_test(), Ok(()));
    }

    #[test]
    fn normal_quantiles() {
        for (p, expected) in NORMAL {
            assert_close(normal_quantile(p), expected, 1e-15, &format!("normal quantile of {p}"));
        }
        assert_eq!(normal_quantile(0.5), 0.0);
        assert_eq!((normal_quantile(0.0), normal_quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(normal_quantile(-0.1).is_nan() && normal_quantile(1.1).is_nan() && normal_quantile(f64::NAN).is_nan());
    }

    #[test]
    fn student_t_quantiles() {
        for (tail, df, expected) in STUDENT {
            assert_close(student_t_upper(tail, df), expected, 1e-12, &format!("t of tail {tail} at {df}"));
        }
        for df in 1..=1_023 {
            let t = student_t_quantile(0.975, df);
            assert!(t > student_t_quantile(0.975, df + 1), "falls with the degrees of freedom, {df}");
            assert_close(student_t_quantile(0.025, df), -t, 1e-12, "symmetry");
            assert_close(StudentT::new(df).upper(t), 0.025, 1e-12, "the tail at the quantile");
        }
        assert_eq!(student_t_quantile(0.5, 7), 0.0);
    }

    #[test]
    fn gate_values_of_the_reference() {
        // The gate's critical values as published with it: one look at 10 seeds, and four looks.
        for (tail, df, expected) in [
            (0.001, 9, 4.297),
            (0.01, 9, 2.821),
            (0.000_25, 15, 4.417),
            (0.0025, 15, 3.286),
            (0.000_25, 127, 3.573),
            (0.001 / 96.0, 15, 6.086),
        ] {
            assert!((student_t_upper(tail, df) - expected).abs() < 6e-4, "tail {tail} at {df}");
        }
    }

    #[test]
    fn binomial_tails() {
        assert_eq!(binomial_half_cdf(0, 3), 0.125);
        assert_eq!(binomial_half_cdf(1, 3), 0.5);
        assert_eq!((binomial_half_cdf(3, 3), binomial_half_cdf(9, 3)), (1.0, 1.0));
        // 1 - 2 P(Bin(16, 1/2) < 4) is 97.9 %: 697 of 65,536 in one tail.
        assert_eq!(binomial_half_cdf(3, 16), 697.0 / 65_536.0);
        assert_close(binomial_half_cdf(511, 1_023), 0.5, 1e-12, "the middle of 1,023");
        assert_close(binomial_half_cdf(5_000, 10_001), 0.5, 1e-11, "the middle of 10,001");
        assert_eq!(binomial_half_cdf(0, 5_000), 0.0, "too small for a double");
    }

    #[test]
    fn gamma_at_integers_and_halves() {
        let mut factorial = 1.0;
        for n in 1..=20 {
            assert_close(gamma(f64::from(n)), factorial, 1e-13, "factorial");
            factorial *= f64::from(n);
        }
        assert_close(gamma(0.5), SQRT_PI, 1e-14, "gamma of a half");
        assert_close(gamma(170.0), 4.269_068_009_004_703e304, 1e-11, "169!");
    }

    const NORMAL: [(f64, f64); 14] = [
        (0.6, 0.2533471031357997),
        (0.9, 1.2815515655446006),
        (0.95, 1.6448536269514722),
        (0.975, 1.9599639845400538),
        (0.99, 2.3263478740408408),
        (0.999, 3.090232306167813),
        (0.001, -3.0902323061678136),
        (1e-06, -4.753424308822899),
        (1e-10, -6.361340902404057),
        (1e-12, -7.034483825301132),
        (1e-15, -7.941345326170997),
        (1.1102230246251565e-16, -8.209536151601387),
        (0.075, -1.439531470938456),
        (0.0749, -1.4402382675279637),
    ];

    const STUDENT: [(f64, u32, f64); 84] = [
        (0.4, 1, 0.32491969623290623),
        (0.4, 2, 0.2886751345948128),
        (0.4, 3, 0.27667066233268983),
        (0.4, 4, 0.27072229470759734),
        (0.4, 5, 0.26718086570414507),
        (0.4, 9, 0.26095533647391095),
        (0.4, 15, 0.2578853009372611),
        (0.4, 31, 0.2555321683175277),
        (0.4, 63, 0.2544196312477028),
        (0.4, 127, 0.2538784855878688),
        (0.4, 500, 0.25348194985166556),
        (0.4, 1023, 0.25341299997250644),
        (0.1, 1, 3.077683537175253),
        (0.1, 2, 1.8856180831641267),
        (0.1, 3, 1.63774435369621),
        (0.1, 4, 1.5332062740589438),
        (0.1, 5, 1.475884048824481),
        (0.1, 9, 1.3830287383966322),
        (0.1, 15, 1.3406056078504556),
        (0.1, 31, 1.3094635494946454),
        (0.1, 63, 1.2951342937828882),
        (0.1, 127, 1.288253109039364),
        (0.1, 500, 1.283247020710374),
        (0.1, 1023, 1.2823796623867836),
        (0.025, 1, 12.706204736174705),
        (0.025, 2, 4.302652729749464),
        (0.025, 3, 3.1824463052837095),
        (0.025, 4, 2.7764451051977943),
        (0.025, 5, 2.5705818356363155),
        (0.025, 9, 2.2621571627982053),
        (0.025, 15, 2.1314495455597755),
        (0.025, 31, 2.0395134463964086),
        (0.025, 63, 1.9983405425207414),
        (0.025, 127, 1.978819534702854),
        (0.025, 500, 1.9647198374673678),
        (0.025, 1023, 1.9622856196472682),
        (0.005, 1, 63.65674116287158),
        (0.005, 2, 9.924843200918293),
        (0.005, 3, 5.840909309733357),
        (0.005, 4, 4.604094871349993),
        (0.005, 5, 4.032142983555228),
        (0.005, 9, 3.2498355415921263),
        (0.005, 15, 2.946712883475239),
        (0.005, 31, 2.7440419192942693),
        (0.005, 63, 2.6561450250998617),
        (0.005, 127, 2.615096008429867),
        (0.005, 500, 2.585697835141942),
        (0.005, 1023, 2.58064376625203),
        (0.001, 1, 318.30883898555044),
        (0.001, 2, 22.327124770119877),
        (0.001, 3, 10.214531852407386),
        (0.001, 4, 7.1731822197823085),
        (0.001, 5, 5.89342953135601),
        (0.001, 9, 4.296805662729918),
        (0.001, 15, 3.7328344253109003),
        (0.001, 31, 3.374899280423302),
        (0.001, 63, 3.224708738545394),
        (0.001, 127, 3.1556453278025223),
        (0.001, 500, 3.1066116243216286),
        (0.001, 1023, 3.0982180475064767),
        (1e-05, 1, 31830.98860790709),
        (1e-05, 2, 223.60344363403718),
        (1e-05, 3, 47.927728375933924),
        (1e-05, 4, 23.332182700829275),
        (1e-05, 5, 15.546854534954756),
        (1e-05, 9, 8.102057879394822),
        (1e-05, 15, 6.108867895025442),
        (1e-05, 31, 5.024874407793221),
        (1e-05, 63, 4.612597011280733),
        (1e-05, 127, 4.431496054888037),
        (1e-05, 500, 4.306159330358053),
        (1e-05, 1023, 4.284973814973245),
        (1e-08, 1, 31830988.618379056),
        (1e-08, 2, 7071.067705799457),
        (1e-08, 3, 479.5250695797383),
        (1e-08, 4, 131.59473694062356),
        (1e-08, 5, 62.40450611096729),
        (1e-08, 9, 18.283967455910624),
        (1e-08, 15, 10.714732022790736),
        (1e-08, 31, 7.478158876450805),
        (1e-08, 63, 6.423192256189178),
        (1e-08, 127, 5.9916209629583),
        (1e-08, 500, 5.70447255518459),
        (1e-08, 1023, 5.6568730281283806),
    ];
}
