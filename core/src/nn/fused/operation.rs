//! An operation on tensors of the CPU, with its gradient.

use std::any::Any;
use std::fmt::Debug;

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend};
use burn_flex::FlexTensor;

/// A function of `N` contiguous tensors of float32.
pub trait Operation<const N: usize>: Copy + Debug + Send + 'static {
    /// What the gradient needs besides the inputs.
    type Kept: Clone + Debug + Send + 'static;

    /// The output, and what the gradient needs if `keep`.
    fn forward(&self, inputs: &[FlexTensor; N], keep: bool) -> (FlexTensor, Option<Self::Kept>);

    /// The gradients of the wanted inputs from that of the output.
    fn backward(
        &self,
        inputs: &[FlexTensor; N],
        kept: Option<Self::Kept>,
        gradient: FlexTensor,
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// The inside of a tensor.
pub fn inside<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> FloatTensor<B> {
    tensor.clone().into_primitive().tensor()
}

/// The tensor around it.
pub fn outside<B: Backend, const D: usize>(inside: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(inside))
}

/// Applies an operation where all tensors are Flex's in float32, with or without a gradient; otherwise `None`.
pub fn apply<B: Backend, O: Operation<N>, const N: usize>(
    operation: O,
    inputs: [FloatTensor<B>; N],
) -> Option<FloatTensor<B>> {
    let any: &dyn Any = &inputs;
    match any.downcast_ref::<[FlexTensor; N]>() {
        Some(inputs) => prepared(inputs).and_then(|inputs| same(&operation.forward(&inputs, false).0)),
        #[cfg(feature = "training")]
        None => {
            any.downcast_ref().and_then(|inputs| tracked::apply(operation, inputs)).and_then(|output| same(&output))
        }
        #[cfg(not(feature = "training"))]
        None => None,
    }
}

/// The value as another type that is the same.
fn same<T: 'static, U: Clone + 'static>(value: &T) -> Option<U> {
    (value as &dyn Any).downcast_ref().cloned()
}

/// Contiguous, if all are of float32.
fn prepared<const N: usize>(inputs: &[FlexTensor; N]) -> Option<[FlexTensor; N]> {
    let float32 = inputs.iter().all(|input| input.dtype() == DType::F32);
    float32.then(|| inputs.each_ref().map(FlexTensor::to_contiguous))
}

#[cfg(feature = "training")]
mod tracked {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::tensor::ops::FloatTensor;
    use burn_flex::{Flex, FlexTensor};

    use super::{Operation, prepared};

    #[derive(Debug)]
    struct Gradient<O>(O);

    impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Gradient<O> {
        type State = ([FlexTensor; N], Option<O::Kept>);

        fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
            let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
            let (inputs, kept) = ops.state;
            let wanted = ops.parents.each_ref().map(Option::is_some);
            let gradients = self.0.backward(&inputs, kept, gradient, wanted);
            for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
                if let (Some(parent), Some(gradient)) = (parent, gradient) {
                    grads.register::<Flex>(parent.id, gradient);
                }
            }
        }
    }

    /// Applies an operation as a node of the graph.
    pub fn apply<O: Operation<N>, const N: usize>(
        operation: O,
        inputs: &[FloatTensor<Autodiff<Flex>>; N],
    ) -> Option<FloatTensor<Autodiff<Flex>>> {
        let values = prepared(&inputs.each_ref().map(|input| input.primitive.clone()))?;
        let nodes = inputs.each_ref().map(|input| input.node.clone());
        Some(match Gradient(operation).prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (output, kept) = operation.forward(&values, true);
                prep.finish((values, kept), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(operation.forward(&values, false).0),
        })
    }
}
