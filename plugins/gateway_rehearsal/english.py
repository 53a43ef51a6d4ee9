"""The English stock of sentences."""

from __future__ import annotations

from .voices import Voice

ENGLISH = Voice(
    code="en",
    casts=(
        ("MEI", "DANIEL"),
        ("IVY", "THEO"),
        ("NORA", "ELIAS"),
        ("JUNE", "MARCUS"),
        ("CLARA", "REN"),
    ),
    scenes=(
        (
            "INT. HOSPITAL CORRIDOR - NIGHT",
            "Rain ticks against the glass. {a} waits with a sealed envelope in both hands. "
            "{b} comes round the corner and stops.",
            "{a} tears the envelope in two. A ring falls out and rolls into the dark.",
        ),
        (
            "EXT. ROOFTOP, OLD TOWN - DAWN",
            "Washing lines, pigeons, the first light. {a} has been here all night. {b} closes the "
            "door behind him without a sound.",
            "Below, a car stops. The woman who gets out wears {a}'s coat, and {a}'s face.",
        ),
        (
            "INT. WEDDING HALL, BACKSTAGE - DAY",
            "Voices and applause from far off. {a} takes off one shoe, then the other. {b} watches "
            "from the doorway and does not say hello.",
            "A bridesmaid runs in: “They call the bride!” Neither of them looks at her.",
        ),
        (
            "INT. LAST TRAM - NIGHT",
            "Two passengers, eleven empty rows. {a} reads the same page again. {b} takes the seat "
            "behind her and leans his forehead on the window.",
            "The phone on the seat between them lights up. The name on the screen is {a}'s own.",
        ),
        (
            "INT. LAW OFFICE, GLASS MEETING ROOM - DAY",
            "A kettle clicks off. Nobody pours. {a} slides a photograph across the table to {b}, "
            "face down.",
            "{b} turns the photograph over. It was taken this morning, in this room.",
        ),
        (
            "EXT. FERRY PIER - RAIN - DUSK",
            "The ramp goes up with a groan. {a} stands on the wrong side of it. {b} holds an "
            "umbrella over her, not over himself.",
            "On the departing deck a child waves at {b}, and shouts: “Papa!”",
        ),
    ),
    exchanges=(
        (
            ("quietly", "You said it was over."),
            ("not looking up", "I said I was tired. You heard what you wanted."),
        ),
        (
            ("holding up her phone", "Then read it out, here, in front of me."),
            ("a breath too late", "I wrote it. I know what it says."),
        ),
        (
            ("steady", "Three years. You could have called once."),
            ("half a smile", "I called every year. Your mother has a lovely voice."),
        ),
        (
            ("stepping closer", "Who paid for the operation?"),
            ("to the window", "Someone who didn't want to be thanked."),
        ),
        (
            ("lightly", "Does she know you take your coffee with salt?"),
            ("caught", "She thinks it's a joke. So did you."),
        ),
        (
            ("almost laughing", "I practised a whole speech for this."),
            ("gently", "Then say the second half. The first one I deserve."),
        ),
        (
            ("cold", "Leave now, and neither of us has to lie tomorrow."),
            ("shaking his head", "I've stopped lying. That's why I'm late."),
        ),
    ),
    beats=(
        "A beat.",
        "Somewhere a door opens, and closes on nobody.",
        "Neither of them moves.",
        "The light above them flickers, then holds.",
        "She turns the ring on her finger, once.",
        "A tram bell, two streets away.",
    ),
    fillers=("very ", "really ", "suddenly ", "actually ", "just ", "quite ", "somehow "),
    pictures=(
        "The corridor, empty but for one figure; wet footprints lead to her.",
        "Hands around an envelope. The corner is torn, and was mended with tape.",
        "Over her shoulder: he stops where the light ends.",
        "Two faces in one pane of glass, hers sharp, his a reflection.",
        "The ring on the floor, still turning.",
        "Her eyes. She has understood, and decides not to show it.",
        "From above: two people, four metres of floor between them.",
    ),
    sizes=("WIDE", "MEDIUM", "CLOSE", "EXTREME CLOSE", "OVER THE SHOULDER", "TWO SHOT"),
    moves=("static", "slow push in", "track left", "handheld, breathing", "tilt up", "pull back"),
    sounds=(
        "rain, a fan somewhere",
        "silence, then one step",
        "a low held note",
        "her breath, close",
        "music cuts out",
        "distant applause",
    ),
    strengths=(
        "The conflict is on the page within the first three lines.",
        "Both leads want something, and the two things cannot both happen.",
        "Props carry the story; there is little that a camera could not show.",
        "The lines are short enough to be spoken in one breath.",
        "The ending asks a question instead of answering one.",
    ),
    concerns=(
        "“{line}” tells what the picture already shows. Cut it, or let the other one say it.",
        "“{line}” comes too early. Move it behind the first silence.",
        "“{line}” could be anybody's. Give it a word that only this person uses.",
        "“{line}” needs something to do: put an object into a hand.",
        "“{line}” is two thoughts. Keep the one that hurts.",
    ),
    next_steps=(
        "Time a read-through; aim for 75 seconds and cut from the middle.",
        "Send it to storyboard once the second exchange is mended.",
        "Try the scene with the first two lines gone. It may be all it needs.",
    ),
    quote="“{}”",
    untitled="an empty page",
    scene="LOGLINE: “{topic}”: two people, one room, and the one thing neither may say first.\n\n"
    "{heading}\n\n{body}\n\nCUT TO BLACK.",
    action="{text}",
    speech="{name}\n({mood})\n{line}",
    board="STORYBOARD: “{topic}”\nFormat 9:16, {count} shots, {total_s:.1f} s\n\n{shots}",
    shot="Shot {number} | {size} | {move} | {duration_s:.1f} s\n  Picture: {picture}\n"
    "  Sound: {sound}",
    review="REVIEW: “{topic}”\nScore: {score} / 10\n\nWhat works\n{strengths}\n\n"
    "What to mend\n{concerns}\n\nNext step\n{next_step}",
    tool_told="The tool answered: {result}\nThat settles it, we can go on with the scene.",
)
