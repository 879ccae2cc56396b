//! Exact decimals under `addf` and its like, as `shopspring/decimal` computes.

use crate::go::float::shortest;

/// Digits after the point of a quotient.
const DIVISION_DIGITS: i32 = 16;

/// A number of the form `digits * 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    digits: i128,
    exponent: i32,
}

/// What a decimal of this size cannot hold is computed in floats.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Exact(Decimal),
    Float(f64),
}

impl Number {
    /// The number that a float's shortest text says.
    pub(super) fn new(value: f64) -> Self {
        let text = shortest(value);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let digits = mantissa.replace('.', "").parse().ok();
        let exponent = exponent.parse::<i32>().ok().zip(i32::try_from(places).ok());
        match (digits, exponent) {
            (Some(digits), Some((exponent, places))) => Self::Exact(Decimal { digits, exponent: exponent - places }),
            _ => Self::Float(value),
        }
    }

    /// The nearest float.
    pub(super) fn to_float(self) -> f64 {
        match self {
            Self::Exact(Decimal { digits, exponent }) => format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN),
            Self::Float(value) => value,
        }
    }

    fn combine(
        self,
        other: Self,
        exact: impl Fn(Decimal, Decimal) -> Option<Decimal>,
        float: impl Fn(f64, f64) -> f64,
    ) -> Self {
        if let (Self::Exact(left), Self::Exact(right)) = (self, other)
            && let Some(result) = exact(left, right)
        {
            return Self::Exact(result);
        }
        Self::Float(float(self.to_float(), other.to_float()))
    }

    pub(super) fn add(self, other: Self) -> Self {
        self.combine(other, |a, b| a.aligned(b, i128::checked_add), |a, b| a + b)
    }

    pub(super) fn subtract(self, other: Self) -> Self {
        self.combine(other, |a, b| a.aligned(b, i128::checked_sub), |a, b| a - b)
    }

    pub(super) fn multiply(self, other: Self) -> Self {
        let exact = |a: Decimal, b: Decimal| {
            Some(Decimal { digits: a.digits.checked_mul(b.digits)?, exponent: a.exponent.checked_add(b.exponent)? })
        };
        self.combine(other, exact, |a, b| a * b)
    }

    /// A quotient, half rounded away from zero; `None` when the divisor is zero.
    pub(super) fn divide(self, other: Self) -> Option<Self> {
        if other.to_float() == 0.0 {
            return None;
        }
        Some(self.combine(other, Decimal::quotient, |a, b| a / b))
    }
}

fn power(exponent: i32) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}

impl Decimal {
    fn aligned(self, other: Self, combine: fn(i128, i128) -> Option<i128>) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let scaled = |decimal: Self| decimal.digits.checked_mul(power(decimal.exponent - exponent)?);
        Some(Self { digits: combine(scaled(self)?, scaled(other)?)?, exponent })
    }

    fn quotient(self, other: Self) -> Option<Self> {
        // digits * 10^(own - other + 16) / digits
        let shift = self.exponent - other.exponent + DIVISION_DIGITS;
        let (mut numerator, mut denominator) = (self.digits, other.digits);
        if shift >= 0 {
            numerator = numerator.checked_mul(power(shift)?)?;
        } else {
            denominator = denominator.checked_mul(power(-shift)?)?;
        }
        let (quotient, rest) = (numerator / denominator, numerator % denominator);
        let rounds = rest.unsigned_abs().checked_mul(2)? >= denominator.unsigned_abs();
        let away = if (numerator < 0) == (denominator < 0) { 1 } else { -1 };
        let digits = if rounds { quotient + away } else { quotient };
        Some(Self { digits, exponent: -DIVISION_DIGITS })
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn decimals_have_no_float_dust() {
        assert_eq!(Number::new(0.1).add(Number::new(0.2)).to_float(), 0.3);
        assert_eq!(Number::new(1.0).divide(Number::new(3.0)).map(Number::to_float), Some(0.333_333_333_333_333_3));
    }
}
