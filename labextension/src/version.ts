/** Of nbplat as this page was built from; a test holds it equal to that of the Python package. */
export const VERSION = '0.1.0';
