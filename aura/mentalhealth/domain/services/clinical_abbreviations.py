"""What clinicians write instead of the names of disorders. The list is our own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Abbreviation:
    """A short form, the name it stands for, and the codes that are meant, the likeliest first.

    Codes below those are found by it too. A short form with several meanings stands in several entries; `rank` is the
    place of this meaning among them, 0 for the likeliest.
    """

    short: str
    stands_for: str
    codes: tuple[str, ...]
    rank: int = 0


ABBREVIATIONS = (
    # due to known physiological conditions
    Abbreviation("VaD", "vascular dementia", ("F01",)),
    Abbreviation("MID", "multi-infarct dementia", ("F01",)),
    Abbreviation("NCD", "neurocognitive disorder", ("F03", "F06.7")),
    Abbreviation("BPSD", "behavioral and psychological symptoms of dementia", ("F03.91", "F02.81", "F01.51")),
    Abbreviation("MCI", "mild cognitive impairment", ("F06.7",)),
    Abbreviation("MNCD", "mild neurocognitive disorder", ("F06.7",)),
    Abbreviation("PCS", "postconcussional syndrome", ("F07.81",)),
    # psychoactive substances
    Abbreviation("SUD", "substance use disorder", ("F19", "F19.10", "F19.20", "F10-F19")),
    Abbreviation("AUD", "alcohol use disorder", ("F10", "F10.10", "F10.20")),
    Abbreviation("OUD", "opioid use disorder", ("F11", "F11.10", "F11.20")),
    Abbreviation("CUD", "cannabis use disorder", ("F12", "F12.10", "F12.20")),
    Abbreviation("CUD", "cocaine use disorder", ("F14", "F14.10", "F14.20"), rank=1),
    Abbreviation("TUD", "tobacco use disorder", ("F17", "F17.200")),
    Abbreviation("DTs", "delirium tremens", ("F10.231", "F10.131", "F10.931")),
    Abbreviation("WKS", "Wernicke-Korsakoff syndrome", ("F10.96", "F10.26")),
    Abbreviation("AWS", "alcohol withdrawal syndrome", ("F10.23", "F10.13", "F10.93")),
    # psychoses
    Abbreviation("SZ", "schizophrenia", ("F20",)),
    Abbreviation("SCZ", "schizophrenia", ("F20",)),
    Abbreviation("SZA", "schizoaffective disorder", ("F25",)),
    Abbreviation("STPD", "schizotypal personality disorder", ("F21",)),
    # mood
    Abbreviation(
        "MDD", "major depressive disorder", ("F32.9", "F33", "F32.0", "F32.1", "F32.2", "F32.3", "F32.4", "F32.5")
    ),
    Abbreviation("MDE", "major depressive episode", ("F32",)),
    Abbreviation("BD", "bipolar disorder", ("F31",)),
    Abbreviation("BAD", "bipolar affective disorder", ("F31",)),
    Abbreviation("BD1", "bipolar 1 disorder", ("F31",)),
    Abbreviation("BP1", "bipolar 1", ("F31",)),
    Abbreviation("BD2", "bipolar 2 disorder", ("F31.81",)),
    Abbreviation("BP2", "bipolar 2", ("F31.81",)),
    Abbreviation("PMDD", "premenstrual dysphoric disorder", ("F32.81",)),
    Abbreviation("PDD", "persistent depressive disorder", ("F34.1",)),
    Abbreviation("DMDD", "disruptive mood dysregulation disorder", ("F34.81",)),
    Abbreviation("SAD", "social anxiety disorder", ("F40.1",)),
    Abbreviation("SAD", "seasonal affective disorder", ("F33",), rank=1),
    Abbreviation("SAD", "separation anxiety disorder", ("F93.0",), rank=2),
    # anxiety, compulsion, stress
    Abbreviation("SP", "social phobia", ("F40.1",)),
    Abbreviation("PD", "panic disorder", ("F41.0",)),
    Abbreviation("PD", "personality disorder", ("F60",), rank=1),
    Abbreviation("PDA", "panic disorder with agoraphobia", ("F40.01",)),
    Abbreviation("GAD", "generalized anxiety disorder", ("F41.1",)),
    Abbreviation("MADD", "mixed anxiety and depressive disorder", ("F41.8",)),
    Abbreviation("OCD", "obsessive-compulsive disorder", ("F42",)),
    Abbreviation("HD", "hoarding disorder", ("F42.3",)),
    Abbreviation("ASR", "acute stress reaction", ("F43.0",)),
    Abbreviation("PTSD", "post-traumatic stress disorder", ("F43.1",)),
    Abbreviation("CPTSD", "complex post-traumatic stress disorder", ("F43.1",)),
    Abbreviation("PGD", "prolonged grief disorder", ("F43.81",)),
    Abbreviation("PCBD", "persistent complex bereavement disorder", ("F43.81",)),
    Abbreviation("AD", "adjustment disorder", ("F43.2",)),
    # dissociation, somatic symptoms
    Abbreviation("DID", "dissociative identity disorder", ("F44.81",)),
    Abbreviation("MPD", "multiple personality disorder", ("F44.81",)),
    Abbreviation("OSDD", "other specified dissociative disorder", ("F44.89",)),
    Abbreviation("DDNOS", "dissociative disorder not otherwise specified", ("F44.9",)),
    Abbreviation("FND", "functional neurological disorder", ("F44.4", "F44.5", "F44.6", "F44.7")),
    Abbreviation("PNES", "psychogenic nonepileptic seizures", ("F44.5",)),
    Abbreviation("SSD", "somatic symptom disorder", ("F45.1",)),
    Abbreviation("SSD", "speech sound disorder", ("F80.0",), rank=1),
    Abbreviation("IAD", "illness anxiety disorder", ("F45.21",)),
    Abbreviation("BDD", "body dysmorphic disorder", ("F45.22",)),
    Abbreviation("DPDR", "depersonalization-derealization", ("F48.1",)),
    Abbreviation("PBA", "pseudobulbar affect", ("F48.2",)),
    # eating, sexuality, puerperium
    Abbreviation("ED", "eating disorder", ("F50",)),
    Abbreviation("ED", "erectile disorder", ("F52.21",), rank=1),
    Abbreviation("AN", "anorexia nervosa", ("F50.0",)),
    Abbreviation("BN", "bulimia nervosa", ("F50.2",)),
    Abbreviation("BED", "binge eating disorder", ("F50.81",)),
    Abbreviation("ARFID", "avoidant/restrictive food intake disorder", ("F50.82",)),
    Abbreviation("OSFED", "other specified feeding or eating disorder", ("F50.89",)),
    Abbreviation("UFED", "unspecified feeding or eating disorder", ("F50.9",)),
    Abbreviation("EDNOS", "eating disorder not otherwise specified", ("F50.9",)),
    Abbreviation("HSDD", "hypoactive sexual desire disorder", ("F52.0",)),
    Abbreviation("FSIAD", "female sexual interest/arousal disorder", ("F52.22",)),
    Abbreviation("PE", "premature ejaculation", ("F52.4",)),
    Abbreviation("GPPPD", "genito-pelvic pain/penetration disorder", ("F52.6",)),
    Abbreviation("PPD", "postpartum depression", ("F53.0",)),
    Abbreviation("PPD", "paranoid personality disorder", ("F60.0",), rank=1),
    Abbreviation("PND", "postnatal depression", ("F53.0",)),
    Abbreviation("PPP", "postpartum psychosis", ("F53.1",)),
    # personality, impulses, gender, factitious disorders
    Abbreviation("SPD", "schizoid personality disorder", ("F60.1",)),
    Abbreviation("SPD", "schizotypal personality disorder", ("F21",), rank=1),
    Abbreviation("ASPD", "antisocial personality disorder", ("F60.2",)),
    Abbreviation("BPD", "borderline personality disorder", ("F60.3",)),
    Abbreviation("BPD", "bipolar disorder", ("F31",), rank=1),
    Abbreviation("EUPD", "emotionally unstable personality disorder", ("F60.3",)),
    Abbreviation("HPD", "histrionic personality disorder", ("F60.4",)),
    Abbreviation("OCPD", "obsessive-compulsive personality disorder", ("F60.5",)),
    Abbreviation("AVPD", "avoidant personality disorder", ("F60.6",)),
    Abbreviation("DPD", "dependent personality disorder", ("F60.7",)),
    Abbreviation("DPD", "depersonalization disorder", ("F48.1",), rank=1),
    Abbreviation("NPD", "narcissistic personality disorder", ("F60.81",)),
    Abbreviation("PDNOS", "personality disorder not otherwise specified", ("F60.9",)),
    Abbreviation("TTM", "trichotillomania", ("F63.3",)),
    Abbreviation("IED", "intermittent explosive disorder", ("F63.81",)),
    Abbreviation("GD", "gender dysphoria", ("F64",)),
    Abbreviation("GID", "gender identity disorder", ("F64",)),
    Abbreviation("FDIS", "factitious disorder imposed on self", ("F68.1",)),
    Abbreviation("FDIA", "factitious disorder imposed on another", ("F68.A",)),
    Abbreviation("MSBP", "Munchausen syndrome by proxy", ("F68.A",)),
    # development, childhood
    Abbreviation("ID", "intellectual disability", ("F79", "F70", "F71", "F72", "F73", "F78", "F70-F79")),
    Abbreviation("IDD", "intellectual developmental disorder", ("F79", "F70", "F71", "F72", "F73", "F78", "F70-F79")),
    Abbreviation("DLD", "developmental language disorder", ("F80.9", "F80.1", "F80.2")),
    Abbreviation("COFD", "childhood onset fluency disorder", ("F80.81",)),
    Abbreviation("SPCD", "social pragmatic communication disorder", ("F80.82",)),
    Abbreviation("SLD", "specific learning disorder", ("F81", "F81.9")),
    Abbreviation("DCD", "developmental coordination disorder", ("F82",)),
    Abbreviation("ASD", "autism spectrum disorder", ("F84.0",)),
    Abbreviation("ASD", "acute stress disorder", ("F43.0",), rank=1),
    Abbreviation("PDD", "pervasive developmental disorder", ("F84",), rank=1),
    Abbreviation("PDDNOS", "pervasive developmental disorder not otherwise specified", ("F84.9",)),
    Abbreviation("PDD-NOS", "pervasive developmental disorder not otherwise specified", ("F84.9",)),
    Abbreviation("CDD", "childhood disintegrative disorder", ("F84.3",)),
    Abbreviation("GDD", "global developmental delay", ("F88",)),
    Abbreviation("ADHD", "attention-deficit hyperactivity disorder", ("F90",)),
    Abbreviation("ADD", "attention deficit disorder", ("F90.0",)),
    Abbreviation("CD", "conduct disorder", ("F91",)),
    Abbreviation("ODD", "oppositional defiant disorder", ("F91.3",)),
    Abbreviation("SM", "selective mutism", ("F94.0",)),
    Abbreviation("RAD", "reactive attachment disorder", ("F94.1",)),
    Abbreviation("DSED", "disinhibited social engagement disorder", ("F94.2",)),
    Abbreviation("TS", "Tourette's syndrome", ("F95.2",)),
    Abbreviation("TD", "Tourette's disorder", ("F95.2",)),
    Abbreviation("SMD", "stereotypic movement disorder", ("F98.4",)),
)
