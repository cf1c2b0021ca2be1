// What goes wrong, and can be mended.

export class SparseDeviceError extends Error {
  constructor(message) {
    super(message);
    this.name = this.constructor.name;
  }
}

export class ConfigError extends SparseDeviceError {}

export class UnknownIdError extends SparseDeviceError {}

export class PackedFileError extends SparseDeviceError {
  constructor(promise, message) {
    super(`${message} [promise: ${promise}]`);
    this.promise = promise;
  }
}

/* A value as it stands in a message. */
export function show(value) {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/* A delta or a compact file whose body does not make sense. */
export function bodyError(message) {
  return new PackedFileError("body", `the file makes no sense: ${message}; fetch it again`);
}
