/**
 * PostgreSQL: where it is, an embedded server when none is given, its schema, and a bounded pool of connections to it.
 * What is asked of it is written in the stores of the features, not here.
 */
@NullMarked
package dev.sandglass.control.database;

import org.jspecify.annotations.NullMarked;
