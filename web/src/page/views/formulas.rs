//! The formulas as MathML, for browsers and screen readers, with the symbols of the crate `vdm`.

/// z_t = α_t f + σ_t ε, ε ∼ N(0, I), α_t² + σ_t² = 1.
pub(super) const FORWARD: &str = r#"
    <math display="block"><msub><mi>z</mi><mi>t</mi></msub><mo>=</mo><msub><mi>α</mi><mi>t</mi></msub>
    <mo>&#8290;</mo><mi>f</mi><mo>+</mo><msub><mi>σ</mi><mi>t</mi></msub><mo>&#8290;</mo><mi>ε</mi><mo>,</mo>
    <mspace width="1em"/><mi>ε</mi><mo>∼</mo><mi>N</mi><mo>(</mo><mn>0</mn><mo>,</mo><mi>I</mi><mo>)</mo>
    <mo>,</mo><mspace width="1em"/><msubsup><mi>α</mi><mi>t</mi><mn>2</mn></msubsup><mo>+</mo><msubsup>
    <mi>σ</mi><mi>t</mi><mn>2</mn></msubsup><mo>=</mo><mn>1</mn></math>
"#;

/// γ(t) = −ln (α_t² / σ_t²), α_t² = sigmoid(−γ(t)), σ_t² = sigmoid(γ(t)).
pub(super) const SNR: &str = r#"
    <math display="block"><mi>γ</mi><mo>(</mo><mi>t</mi><mo>)</mo><mo>=</mo><mo>−</mo><mspace width="0.17em"/>
    <mi>ln</mi><mo>&#8289;</mo><mspace width="0.17em"/><mfrac><msubsup><mi>α</mi><mi>t</mi><mn>2</mn></msubsup>
    <msubsup><mi>σ</mi><mi>t</mi><mn>2</mn></msubsup></mfrac><mo>,</mo><mspace width="1em"/><msubsup><mi>α</mi>
    <mi>t</mi><mn>2</mn></msubsup><mo>=</mo><mspace width="0.17em"/><mi>sigmoid</mi><mo>&#8289;</mo><mo>(</mo>
    <mo>−</mo><mi>γ</mi><mo>(</mo><mi>t</mi><mo>)</mo><mo>)</mo><mo>,</mo><mspace width="1em"/><msubsup>
    <mi>σ</mi><mi>t</mi><mn>2</mn></msubsup><mo>=</mo><mspace width="0.17em"/><mi>sigmoid</mi><mo>&#8289;</mo>
    <mo>(</mo><mi>γ</mi><mo>(</mo><mi>t</mi><mo>)</mo><mo>)</mo></math>
"#;

/// γ(t) = γ_min + (γ_max − γ_min)(raw(t) − raw(0)) / (raw(1) − raw(0)).
pub(super) const SCHEDULE: &str = r#"
    <math display="block"><mi>γ</mi><mo>(</mo><mi>t</mi><mo>)</mo><mo>=</mo><msub><mi>γ</mi><mi>min</mi></msub>
    <mo>+</mo><mo>(</mo><msub><mi>γ</mi><mi>max</mi></msub><mo>−</mo><msub><mi>γ</mi><mi>min</mi></msub>
    <mo>)</mo><mfrac><mrow><mspace width="0.17em"/><mi>raw</mi><mo>&#8289;</mo><mo>(</mo><mi>t</mi><mo>)</mo>
    <mo>−</mo><mspace width="0.17em"/><mi>raw</mi><mo>&#8289;</mo><mo>(</mo><mn>0</mn><mo>)</mo></mrow><mrow>
    <mspace width="0.17em"/><mi>raw</mi><mo>&#8289;</mo><mo>(</mo><mn>1</mn><mo>)</mo><mo>−</mo>
    <mspace width="0.17em"/><mi>raw</mi><mo>&#8289;</mo><mo>(</mo><mn>0</mn><mo>)</mo></mrow></mfrac></math>
"#;

/// raw(t) = |a| t + (1/H) Σ_h |c_h| (2 sigmoid(|b_h| (2t − 1) + d_h) − 1).
pub(super) const RAW: &str = r#"
    <math display="block"><mspace width="0.17em"/><mi>raw</mi><mo>&#8289;</mo><mo>(</mo><mi>t</mi><mo>)</mo>
    <mo>=</mo><mrow><mo>|</mo><mi>a</mi><mo>|</mo></mrow><mi>t</mi><mo>+</mo><mfrac><mn>1</mn><mi>H</mi></mfrac>
    <munder><mo>∑</mo><mi>h</mi></munder><mrow><mo>|</mo><msub><mi>c</mi><mi>h</mi></msub><mo>|</mo></mrow>
    <mo>(</mo><mn>2</mn><mspace width="0.17em"/><mi>sigmoid</mi><mo>&#8289;</mo><mo>(</mo><mrow><mo>|</mo><msub>
    <mi>b</mi><mi>h</mi></msub><mo>|</mo></mrow><mo>(</mo><mn>2</mn><mi>t</mi><mo>−</mo><mn>1</mn><mo>)</mo>
    <mo>+</mo><msub><mi>d</mi><mi>h</mi></msub><mo>)</mo><mo>−</mo><mn>1</mn><mo>)</mo></math>
"#;

/// f̂ = (z_t − σ_t ε̂) / α_t, ε̂ = ε̂(z_t, γ_t).
pub(super) const PREDICTION: &str = r#"
    <math display="block"><mover accent="true"><mi>f</mi><mo>^</mo></mover><mo>=</mo><mfrac><mrow><msub>
    <mi>z</mi><mi>t</mi></msub><mo>−</mo><msub><mi>σ</mi><mi>t</mi></msub><mo>&#8290;</mo><mover accent="true">
    <mi>ε</mi><mo>^</mo></mover></mrow><msub><mi>α</mi><mi>t</mi></msub></mfrac><mo>,</mo><mspace width="1em"/>
    <mover accent="true"><mi>ε</mi><mo>^</mo></mover><mo>=</mo><mover accent="true"><mi>ε</mi><mo>^</mo></mover>
    <mo>(</mo><msub><mi>z</mi><mi>t</mi></msub><mo>,</mo><msub><mi>γ</mi><mi>t</mi></msub><mo>)</mo></math>
"#;

/// z_s = α_s f̂ + σ_s ε̂.
pub(super) const DDIM: &str = r#"
    <math display="block"><msub><mi>z</mi><mi>s</mi></msub><mo>=</mo><msub><mi>α</mi><mi>s</mi></msub>
    <mo>&#8290;</mo><mover accent="true"><mi>f</mi><mo>^</mo></mover><mo>+</mo><msub><mi>σ</mi><mi>s</mi></msub>
    <mo>&#8290;</mo><mover accent="true"><mi>ε</mi><mo>^</mo></mover></math>
"#;

/// z_s = (α_s/α_t)(z_t − σ_t c ε̂) + σ_s √c ε, c = 1 − e^(γ_s − γ_t).
pub(super) const ANCESTRAL: &str = r#"
    <math display="block"><msub><mi>z</mi><mi>s</mi></msub><mo>=</mo><mfrac><msub><mi>α</mi><mi>s</mi></msub>
    <msub><mi>α</mi><mi>t</mi></msub></mfrac><mo>(</mo><msub><mi>z</mi><mi>t</mi></msub><mo>−</mo><msub>
    <mi>σ</mi><mi>t</mi></msub><mo>&#8290;</mo><mi>c</mi><mo>&#8290;</mo><mover accent="true"><mi>ε</mi>
    <mo>^</mo></mover><mo>)</mo><mo>+</mo><msub><mi>σ</mi><mi>s</mi></msub><msqrt><mi>c</mi></msqrt>
    <mo>&#8290;</mo><mi>ε</mi><mo>,</mo><mspace width="1em"/><mi>c</mi><mo>=</mo><mn>1</mn><mo>−</mo><msup>
    <mi>e</mi><mrow><msub><mi>γ</mi><mi>s</mi></msub><mo>−</mo><msub><mi>γ</mi>
    <mi>t</mi></msub></mrow></msup></math>
"#;

/// z_s = (σ_s/σ_t) z_t − α_s (e^−h − 1) D, D = (1 + 1/(2r)) f̂ − (1/(2r)) f̂_prev.
pub(super) const DPM: &str = r#"
    <math display="block"><msub><mi>z</mi><mi>s</mi></msub><mo>=</mo><mfrac><msub><mi>σ</mi><mi>s</mi></msub>
    <msub><mi>σ</mi><mi>t</mi></msub></mfrac><mo>&#8290;</mo><msub><mi>z</mi><mi>t</mi></msub><mo>−</mo><msub>
    <mi>α</mi><mi>s</mi></msub><mo>(</mo><msup><mi>e</mi><mrow><mo>−</mo><mi>h</mi></mrow></msup><mo>−</mo>
    <mn>1</mn><mo>)</mo><mi>D</mi><mo>,</mo><mspace width="1em"/><mi>D</mi><mo>=</mo><mo>(</mo><mn>1</mn>
    <mo>+</mo><mfrac><mn>1</mn><mrow><mn>2</mn><mi>r</mi></mrow></mfrac><mo>)</mo><mover accent="true">
    <mi>f</mi><mo>^</mo></mover><mo>−</mo><mfrac><mn>1</mn><mrow><mn>2</mn><mi>r</mi></mrow></mfrac><msub>
    <mover accent="true"><mi>f</mi><mo>^</mo></mover><mi>prev</mi></msub></math>
"#;

/// −ln p(x) ≤ L_x + L_1 + L_t: reconstruction, latent, diffusion.
pub(super) const BOUND: &str = r#"
    <math display="block"><mo>−</mo><mspace width="0.17em"/><mi>ln</mi><mo>&#8289;</mo><mspace width="0.17em"/>
    <mi>p</mi><mo>(</mo><mi>x</mi><mo>)</mo><mo>≤</mo><msub><mi>L</mi><mi>x</mi></msub><mo>+</mo><msub>
    <mi>L</mi><mn>1</mn></msub><mo>+</mo><msub><mi>L</mi><mi>t</mi></msub></math>
"#;

/// L_t = ½ ∫ γ′(t) E‖ε − ε̂‖² dt.
pub(super) const DIFFUSION: &str = r#"
    <math display="block"><msub><mi>L</mi><mi>t</mi></msub><mo>=</mo><mfrac><mn>1</mn><mn>2</mn></mfrac>
    <msubsup><mo>∫</mo><mn>0</mn><mn>1</mn></msubsup><msup><mi>γ</mi><mo>′</mo></msup><mo>(</mo><mi>t</mi>
    <mo>)</mo><mo>&#8290;</mo><mi mathvariant="normal">E</mi><msup><mrow><mo>‖</mo><mrow><mi>ε</mi><mo>−</mo>
    <mover accent="true"><mi>ε</mi><mo>^</mo></mover></mrow><mo>‖</mo></mrow><mn>2</mn></msup>
    <mspace width="0.17em"/><mi mathvariant="normal">d</mi><mi>t</mi></math>
"#;

/// L_1 = KL(q(z_1 | x) ‖ N(0, I)) = ½ Σ_i (α_1² f_i² + σ_1² − ln σ_1² − 1).
pub(super) const LATENT: &str = r#"
    <math display="block"><msub><mi>L</mi><mn>1</mn></msub><mo>=</mo><mi>KL</mi><mo>(</mo><mi>q</mi><mo>(</mo>
    <msub><mi>z</mi><mn>1</mn></msub><mo>|</mo><mi>x</mi><mo>)</mo><mo>‖</mo><mi>N</mi><mo>(</mo><mn>0</mn>
    <mo>,</mo><mi>I</mi><mo>)</mo><mo>)</mo><mo>=</mo><mfrac><mn>1</mn><mn>2</mn></mfrac><munder><mo>∑</mo>
    <mi>i</mi></munder><mo>(</mo><msubsup><mi>α</mi><mn>1</mn><mn>2</mn></msubsup><msubsup><mi>f</mi><mi>i</mi>
    <mn>2</mn></msubsup><mo>+</mo><msubsup><mi>σ</mi><mn>1</mn><mn>2</mn></msubsup><mo>−</mo>
    <mspace width="0.17em"/><mi>ln</mi><mo>&#8289;</mo><mspace width="0.17em"/><msubsup><mi>σ</mi><mn>1</mn>
    <mn>2</mn></msubsup><mo>−</mo><mn>1</mn><mo>)</mo></math>
"#;

/// L_x = −ln p(x | z_0) = Σ_i (ln(1 + e^ℓ_i) − x_i ℓ_i), for logits ℓ.
pub(super) const DECODER: &str = r#"
    <math display="block"><msub><mi>L</mi><mi>x</mi></msub><mo>=</mo><mo>−</mo><mspace width="0.17em"/>
    <mi>ln</mi><mo>&#8289;</mo><mspace width="0.17em"/><mi>p</mi><mo>(</mo><mi>x</mi><mo>|</mo><msub><mi>z</mi>
    <mn>0</mn></msub><mo>)</mo><mo>=</mo><munder><mo>∑</mo><mi>i</mi></munder><mo>(</mo><mspace width="0.17em"/>
    <mi>ln</mi><mo>&#8289;</mo><mspace width="0.17em"/><mo>(</mo><mn>1</mn><mo>+</mo><msup><mi>e</mi><msub>
    <mi>ℓ</mi><mi>i</mi></msub></msup><mo>)</mo><mo>−</mo><msub><mi>x</mi><mi>i</mi></msub><mo>&#8290;</mo>
    <msub><mi>ℓ</mi><mi>i</mi></msub><mo>)</mo></math>
"#;

/// bits = nats / (H W ln 2).
pub(super) const BITS: &str = r#"
    <math display="block"><mi>bits</mi><mo>=</mo><mfrac><mi>nats</mi><mrow><mi>H</mi><mo>&#8290;</mo><mi>W</mi>
    <mo>&#8290;</mo><mspace width="0.17em"/><mi>ln</mi><mo>&#8289;</mo><mspace width="0.17em"/>
    <mn>2</mn></mrow></mfrac></math>
"#;
