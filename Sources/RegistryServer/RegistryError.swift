import FoundationEssentials
import NIOHTTP1

/// An error as clients expect it (OCI distribution specification 1.1, "Error Codes").
struct RegistryError: Hashable, Sendable {
    /// The codes of the specification.
    enum Code: String, Sendable {
        case blobUnknown = "BLOB_UNKNOWN"
        case digestInvalid = "DIGEST_INVALID"
        case manifestInvalid = "MANIFEST_INVALID"
        case manifestUnknown = "MANIFEST_UNKNOWN"
        case nameInvalid = "NAME_INVALID"
        case nameUnknown = "NAME_UNKNOWN"
        case unknown = "UNKNOWN"
        case unsupported = "UNSUPPORTED"
    }

    var status: HTTPResponseStatus
    var code: Code
    var message: String

    init(_ status: HTTPResponseStatus, _ code: Code, _ message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    static let notFound = RegistryError(.notFound, .unsupported, "there is nothing at this address")
    static let badDigest = RegistryError(.badRequest, .digestInvalid, "the digest is not valid")
    static let badPage = RegistryError(.badRequest, .unsupported, "n must be a number")
    static let readOnly = RegistryError(.methodNotAllowed, .unsupported, "this registry is read-only")

    /// `{"errors":[…]}`.
    var body: Data {
        struct Body: Encodable {
            struct Item: Encodable {
                var code: String
                var message: String
            }
            var errors: [Item]
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings always encode.
        return (try? encoder.encode(Body(errors: [.init(code: code.rawValue, message: message)]))) ?? Data()
    }
}
