//! French, with no-break spaces before its high punctuation.

use super::words::{Between, Bound, Forward, Learning, Race, Schedule, Subject};

/// The learning views in French.
pub(super) static FR: Learning = Learning {
    subject: Subject {
        choose: "Choisir une image",
        last: "Ma dernière image",
        example: "Exemple {number}",
        own: "Ma propre image…",
        own_hint: "Votre image est lue ici, dans votre navigateur. Elle n’est ni envoyée ni conservée.",
        no_encoder: "Ces poids sont livrés sans encodeur\u{a0}: seules les images du modèle lui-même sont utilisables.",
        none: "Aucune image n’est encore choisie.",
        name_sample: "Image de la graine {seed}, dessinée par le modèle",
        name_own: "Votre image {file}",
        original: "Votre image, recadrée et en gris",
    },
    forward: Forward {
        title: "De l’image au bruit",
        intro: "Un modèle de diffusion apprend en regardant des images se noyer dans le bruit. Le curseur le fait \
            subir à une image\u{a0}: à t\u{a0}=\u{a0}0 elle est presque intacte, à t\u{a0}=\u{a0}1 il ne reste que le \
            hasard.",
        intro_more: "Ce modèle n’ajoute pas le bruit aux pixels, mais aux {numbers} nombres par lesquels son encodeur \
            résume l’image. Retransformés en image, ils ne ressemblent pas à de la neige sur un écran\u{a0}: on voit \
            un thorax qui a de moins en moins à voir avec le premier.",
        time: "Temps t",
        seed: "Graine du bruit",
        seed_hint: "Une autre graine donne un autre bruit.",
        new_noise: "Nouveau bruit",
        clean: "L’image",
        kept: "Ce que le modèle retient de votre image",
        noisy: "L’image bruitée",
        latent: "Le latent bruité",
        latent_hint: "Les {numbers} nombres de z au temps t\u{a0}: orange au-dessus de zéro, bleu au-dessous.",
        shares: "La part de l’image et la part du bruit",
        signal: "Image, α²",
        noise: "Bruit, σ²",
        snr: "Signal sur bruit, α²/σ²",
        gamma: "γ = −ln (α²/σ²)",
        back: "Et retour",
        back_intro: "À présent, le modèle retire le bruit, étape par étape. Depuis un petit t, l’image revient. \
            Depuis un grand t, c’est une autre image du même genre\u{a0}: ce que le bruit a couvert, le modèle \
            l’invente.",
        denoise: "Débruiter à partir d’ici",
        denoised: "L’image débruitée",
        not_denoised: "Appuyez sur «\u{a0}Débruiter à partir d’ici\u{a0}»\u{a0}: le chemin du retour apparaît ici.",
        denoised_from: "Débruitée à partir de t\u{a0}=\u{a0}{t}",
        at_zero: "À t\u{a0}=\u{a0}0 il n’y a pas de bruit à retirer\u{a0}: déplacez d’abord le curseur.",
    },
    schedule: Schedule {
        title: "Le programme de bruit",
        intro: "Le programme dit à quelle vitesse vient le bruit. Ces courbes sont celles des poids chargés\u{a0}: \
            d’une image presque nette à t\u{a0}=\u{a0}0 jusqu’au bruit presque pur à t\u{a0}=\u{a0}1.",
        intro_more: "Dans la plupart des modèles de diffusion, quelqu’un a choisi ce programme. Un modèle de \
            diffusion variationnel peut l’apprendre en même temps que le réseau, de sorte que chaque portion du \
            chemin demande à peu près le même effort.",
        time: "Temps t",
        running: "Les images en cours de création en sont à t\u{a0}=\u{a0}{t}.",
        not_running: "Pendant la création d’images, le repère montre où elles en sont.",
        gamma_title: "γ(t)",
        gamma_hint: "L’opposé du logarithme du rapport signal sur bruit. Il ne fait que croître.",
        snr_title: "SNR(t)",
        snr_hint: "Signal sur bruit. L’échelle est en puissances de dix\u{a0}; à 10⁰\u{a0}=\u{a0}1, l’image et le \
            bruit sont de force égale.",
        shares_title: "Parts de l’image et du bruit",
        shares_hint: "La somme de α² et de σ² vaut 1 à tout instant\u{a0}: la variance est conservée.",
        signal: "image α²",
        noise: "bruit σ²",
        axis_time: "temps t",
        description: "{what}\u{a0}: {start} à t\u{a0}=\u{a0}0, {end} à t\u{a0}=\u{a0}1, et {value} au temps du \
            repère, t\u{a0}=\u{a0}{t}.",
        facts: "Ce programme",
        gamma_here: "γ au repère",
        snr_here: "SNR au repère",
        shape: "Forme",
        linear: "Une droite",
        monotonic: "Apprise\u{a0}: un réseau qui ne peut que croître, à {hidden} unités cachées",
        start: "Début, γ(0)",
        end: "Fin, γ(1)",
        endpoints: "Début et fin",
        learned: "Appris avec le réseau",
        fixed: "Choisis avant l’apprentissage",
        no_model: "Les courbes apparaîtront quand le modèle sera chargé.",
    },
    bound: Bound {
        title: "Ce que mesure la borne",
        intro: "À quel point une image surprend-elle le modèle\u{202f}? La réponse se compte en bits par pixel, \
            l’unité des fichiers compressés\u{a0}: moins il faut de bits à un modèle pour décrire une image, mieux il \
            connaît de telles images.",
        intro_more: "La surprise elle-même ne se calcule pas, mais ce qu’elle ne dépasse jamais se calcule\u{a0}: la \
            borne. Elle a trois parties, reconstruction, latent et diffusion, et c’est par leur somme que l’on \
            compare de tels modèles.",
        intro_last: "La mesure se fait ici, sur votre appareil.",
        measure: "Mesurer",
        measuring: "Mesure en cours…",
        needs_encoder: "La mesure demande l’encodeur, et ces poids sont livrés sans lui.",
        not_measured: "Choisissez une image et appuyez sur Mesurer.",
        measured: "{name}\u{a0}: mesure à {times} temps de diffusion.",
        of_a_sample: "Cette image vient du modèle lui-même\u{a0}: elle lui convient donc bien. Ce que vaut le modèle \
            se voit sur de vraies radiographies qu’il n’a jamais vues.",
        of_a_picture: "Cette image est la vôtre. Moins elle ressemble à celles de l’apprentissage, plus elle surprend \
            le modèle.",
        unit: "bits par pixel",
        terms: "Les parties de la borne",
        reconstruction: "Reconstruction",
        reconstruction_meaning: "L’écart entre l’image et ce que dessine le décodeur quand il ne connaît que les \
            nombres latents.",
        floor: "Plancher d’entropie",
        floor_meaning: "Une part de la reconstruction, sous laquelle aucun modèle ne descend\u{a0}: chaque gris \
            compte comme la chance qu’une pièce tombe sur blanc, et une pièce reste incertaine.",
        latent: "Latent",
        latent_meaning: "Ce qui reste de l’image à t\u{a0}=\u{a0}1. Près de 0, on peut partir du bruit pur.",
        diffusion: "Diffusion",
        diffusion_meaning: "À quel point le réseau devine mal le bruit, tout au long du chemin de t\u{a0}=\u{a0}1 à \
            t\u{a0}=\u{a0}0.",
        total: "Total",
        total_meaning: "Reconstruction, latent et diffusion réunis\u{a0}: la borne elle-même.",
        magnified: "Au-dessus du plancher, à la loupe",
        magnified_hint: "Seule cette partie, {share}\u{a0}% du total, peut encore diminuer. Elle occupe ici toute la \
            largeur.",
        excess: "Reconstruction au-dessus du plancher",
    },
    between: Between {
        title: "Entre deux graines",
        intro: "Toute image part d’un bruit, et une graine est le nom d’un tel bruit. Ici, le bruit d’une graine se \
            change en celui d’une autre, et le modèle dessine une image à chaque halte. Les voisines se \
            ressemblent\u{a0}: le modèle a appris un paysage, et non un tas d’images.",
        intro_more: "Le chemin est un arc sur une sphère et non une ligne droite, car à mi-chemin d’une droite, le \
            bruit serait plus faible que tous ceux que le modèle connaît.",
        from: "De la graine",
        to: "À la graine",
        seed_hint: "Un nombre entier.",
        new_seeds: "Deux nouvelles graines",
        frames: "Images sur le chemin",
        generate: "Générer",
        settings: "Échantillonneur\u{a0}: {sampler}. Étapes\u{a0}: {steps}. Les deux se règlent dans Générer.",
        strip: "Toutes les images",
        frame: "Image {number} sur {count}, radiographie thoracique synthétique, pas pour le diagnostic",
        animation: "Aller et retour",
        play: "Lire",
        pause: "Pause",
        save: "Enregistrer la bande",
        save_animation: "Enregistrer l’animation",
        empty: "Appuyez sur Générer\u{a0}: le chemin d’une graine à l’autre apparaît ici.",
    },
    race: Race {
        title: "Course d’échantillonneurs",
        intro: "Un échantillonneur est la recette qui mène du bruit à l’image. Peu d’étapes, c’est rapide\u{a0}; \
            beaucoup, c’est soigné. Ici, un même bruit prend deux chemins\u{a0}: lequel est le plus rapide, et \
            mène-t-il à la même image\u{202f}?",
        intro_more: "Les deux courent l’un après l’autre, pour que ni l’un ni l’autre ne perde de temps, et chacun a \
            son chronomètre.",
        intro_last: "DPM-Solver++ et DDIM sont déterministes\u{a0}: avec assez d’étapes, tous deux s’approchent de la \
            même image. L’échantillonnage ancestral tire un bruit frais à chaque étape et arrive ailleurs.",
        seed: "Graine commune",
        seed_hint: "Les deux partent du bruit de cette graine.",
        new_seed: "Nouvelle graine",
        left: "À gauche",
        right: "À droite",
        sampler: "Échantillonneur",
        steps: "Étapes",
        start: "Lancer la course",
        waiting: "Attend son tour…",
        empty: "Prêt au départ.",
        result: "Le résultat",
        difference: "Les images diffèrent de {levels} niveaux de gris sur 255 (moyenne quadratique).",
        difference_hint: "Au-dessous de 3 environ, cela se voit à peine.",
        faster: "{lane}\u{a0}: {times} fois plus rapide.",
        as_fast: "Les deux ont mis le même temps.",
        ancestral: "L’un des deux a tiré un bruit frais à chaque étape\u{a0}: une grande différence est normale.",
    },
};
