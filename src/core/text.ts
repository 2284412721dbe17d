// Whether a text shows anything at all.

/**
 * What shows nothing: blanks, controls and formats, what is ignored by default, unassigned characters, and the two
 * letters and the Braille pattern that are drawn as a blank (Unicode: White_Space, C, Default_Ignorable_Code_Point).
 */
const NOTHING = /^[\p{White_Space}\p{C}\p{Default_Ignorable_Code_Point}\u2800]*$/u;

/** Holds where a text states nothing, however long it is. */
export const saysNothing = (text: string): boolean => NOTHING.test(text);
