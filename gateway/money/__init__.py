"""The money room: can a call be paid, and what did it cost?

Everything here is whole numbers of nano-units (billionths) of a currency, rounded up once per
figure. ``Decimal`` appears only where a price list is read; no amount is ever a float.
"""
