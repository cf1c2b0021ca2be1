"""Invented titles for the synthetic world, distinct within and across genres."""

from __future__ import annotations

# Genre, adjectives, nouns: twenty words each, no word in two genres, so that a title tells its taste.
_WORDS = (
    (
        "science fiction",
        "Silent Distant Orbital Frozen Last Quantum Violet Hollow Parallel Drifting "
        "Magnetic Infinite Borrowed Synthetic Lunar Falling Recursive Weightless Outer Luminous",
        "Orbit Signal Colony Horizon Airlock Nebula Archive Satellite Paradox Engine "
        "Comet Android Meridian Station Eclipse Gravity Voyager Spectrum Dome Perihelion",
    ),
    (
        "mystery",
        "Crooked Missing Second Locked Whispering Forged Nameless Midnight Velvet Broken "
        "Unsigned Patient Grey Vanishing Careful Scarlet Foggy Hidden Backward Thirteenth",
        "Key Witness Ledger Staircase Alibi Portrait Corridor Inspector Candle Footprint "
        "Envelope Clock Verdict Lodger Cellar Cipher Umbrella Motive Parlour Keyhole",
    ),
    (
        "comedy",
        "Reluctant Accidental Overdue Sleepy Enormous Polite Slippery Borrowing Confused Unlikely "
        "Terrible Cheerful Absent Loud Perfect Wobbly Unpaid Tiny Splendid Awkward",
        "Landlord Wedding Goose Neighbour Karaoke Sofa Intern Parade Dentist Pancake "
        "Uncle Holiday Trombone Committee Penguin Raincoat Babysitter Encore Moustache Picnic",
    ),
    (
        "romance",
        "Tender Autumn Unsent Summer Secret Golden Gentle Faraway Stolen Rainy "
        "Blushing Winter Seaside Longing Honest Moonlit Moving Evening Forgotten Blue",
        "Letter Kiss Promise Dance Garden Heart Balcony Melody Harbour Violin "
        "Confession Lantern Tide Waltz Orchard Postcard Serenade Ribbon Fountain Sunrise",
    ),
    (
        "western",
        "Dusty Lonesome Iron Stubborn Rattling High Bitter Wandering Copper Wild "
        "Burning Honourable Southern Ragged Dry Thundering Masked Outlawed Weathered Six-Gun",
        "Saddle Canyon Sheriff Railroad Mesa Stagecoach Mustang Prairie Saloon Frontier "
        "Bounty Rustler Gulch Spur Corral Lasso Coyote Drifter Homestead Trail",
    ),
    (
        "nature",
        "Mossy Migrating Deep Nesting Alpine Ancient Wet Blooming Nocturnal Tidal "
        "Feathered Rooted Northern Coral Emerald Untamed Thawing Grazing Sunlit Burrowing",
        "Forest River Heron Glacier Reef Meadow Otter Canopy Savanna Fjord "
        "Lynx Estuary Monsoon Tundra Hummingbird Mangrove Volcano Whale Bramble Wetland",
    ),
    (
        "cooking",
        "Crispy Slow Buttered Smoky Rustic Caramel Peppered Roasted Sunday Pickled "
        "Salted Sweet Wooden Simmering Toasted Spiced Fermented Humble Zesty Golden-Brown",
        "Kitchen Dumpling Skillet Oven Noodle Pantry Loaf Saffron Ladle Pastry "
        "Broth Feast Olive Apron Soup Marmalade Cauldron Bakery Table Recipe",
    ),
    (
        "fantasy",
        "Enchanted Thorned Sleeping Runic Glass Wandless Crowned Cursed Elder Shimmering "
        "Oathbound Moonforged Winged Feral Misty Silver Riddling Banished Everlasting Hexed",
        "Dragon Throne Sorcerer Amulet Labyrinth Griffin Prophecy Wyvern Grimoire Citadel "
        "Changeling Chalice Goblin Spire Oracle Phoenix Ember Warden Talisman Kingdom",
    ),
)
GENRES = tuple(genre for genre, _, _ in _WORDS)
_N = 20
_STEP = 189  # coprime to _N * _N: neighbours in the catalogue share neither word


def title_of(genre: int, number: int) -> str:
    """Title of a genre's ``number``-th item, as "The Silent Orbit (science fiction)"; all are distinct."""
    name, adjectives, nouns = _WORDS[genre]
    volume, place = divmod(number, _N * _N)
    noun, adjective = divmod(place * _STEP % (_N * _N), _N)
    sequel = f" {volume + 1}" if volume else ""
    return f"The {adjectives.split()[adjective]} {nouns.split()[noun]}{sequel} ({name})"
