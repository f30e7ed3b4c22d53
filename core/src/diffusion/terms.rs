//! The terms of the loss, of any type: tensors of a batch, numbers of an image, means in bits.

use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::error::BackendError;

/// The names of the terms, in the order of [`Terms`]' fields.
pub const TERM_NAMES: [&str; 5] = ["reconstruction", "latent", "diffusion", "mse", "gradient_difference"];

/// One `T` for each term of the loss.
///
/// `reconstruction + latent + diffusion` is the negative of the variational lower bound (Kingma et al. 2021, eq. 4). The
/// other terms are auxiliary losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms<T> {
    /// −log p(x | z_0), in nats.
    pub reconstruction: T,
    /// KL(q(z_1 | x) ‖ N(0, I)), in nats.
    pub latent: T,
    /// The diffusion loss, the mean over the drawn times, in nats.
    pub diffusion: T,
    /// Mean squared error per pixel between x and the decoder's mean.
    pub mse: T,
    /// Gradient difference per pixel between x and the decoder's mean, see
    /// [`gradient_difference`](crate::diffusion::loss::gradient_difference).
    pub gradient_difference: T,
}

impl<T> Terms<T> {
    /// The terms from an array in the order of [`TERM_NAMES`].
    pub fn from_array(values: [T; 5]) -> Self {
        let [reconstruction, latent, diffusion, mse, gradient_difference] = values;
        Self { reconstruction, latent, diffusion, mse, gradient_difference }
    }

    /// The terms as an array in the order of [`TERM_NAMES`].
    pub fn into_array(self) -> [T; 5] {
        let Self { reconstruction, latent, diffusion, mse, gradient_difference } = self;
        [reconstruction, latent, diffusion, mse, gradient_difference]
    }

    /// Each term with its name.
    pub fn named(self) -> impl Iterator<Item = (&'static str, T)> {
        TERM_NAMES.into_iter().zip(self.into_array())
    }

    /// The terms by reference.
    pub fn as_ref(&self) -> Terms<&T> {
        let Self { reconstruction, latent, diffusion, mse, gradient_difference } = self;
        Terms { reconstruction, latent, diffusion, mse, gradient_difference }
    }

    /// The same function of each term.
    pub fn map<U>(self, of: impl FnMut(T) -> U) -> Terms<U> {
        Terms::from_array(self.into_array().map(of))
    }

    /// Pairs of the same term of both.
    pub fn zip<U>(self, other: Terms<U>) -> Terms<(T, U)> {
        Terms {
            reconstruction: (self.reconstruction, other.reconstruction),
            latent: (self.latent, other.latent),
            diffusion: (self.diffusion, other.diffusion),
            mse: (self.mse, other.mse),
            gradient_difference: (self.gradient_difference, other.gradient_difference),
        }
    }
}

impl Terms<f64> {
    /// The negative of the variational lower bound: reconstruction + latent + diffusion.
    pub fn total(&self) -> f64 {
        self.reconstruction + self.latent + self.diffusion
    }
}

impl<B: Backend> Terms<Tensor<B, 1>> {
    /// Zeros for a batch of images.
    pub(crate) fn zeros(images: usize, device: &B::Device) -> Self {
        Terms::<()>::default().map(|()| Tensor::zeros([images], device))
    }

    /// The terms of each image of a batch, in one transfer from the device.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn read(self) -> Result<Vec<Terms<f64>>, BackendError> {
        let stacked = Tensor::stack::<2>(self.into_array().into(), 0); // [5, B]
        let [_, images] = stacked.dims();
        let data = stacked.into_data_async().await.map_err(BackendError::new)?;
        let values: Vec<f64> = data.iter::<f64>().collect();
        Ok((0..images).map(|i| Terms::from_array(std::array::from_fn(|term| values[term * images + i]))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_beside_their_fields() {
        let terms = Terms::from_array([1.0, 2.0, 3.0, 4.0, 5.0]);
        let json = serde_json::to_value(terms).expect("numbers are JSON");
        for (name, value) in terms.named() {
            assert_eq!(json[name].as_f64(), Some(value), "{name}");
        }
        assert_eq!(terms.total(), 6.0);
        assert_eq!(terms.zip(terms).map(|(a, b)| a - b), Terms::default());
    }
}
