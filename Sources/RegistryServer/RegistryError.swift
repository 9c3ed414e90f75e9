import FoundationEssentials
import NIOHTTP1

/// An error as clients expect it (OCI distribution specification 1.1, "Error Codes").
struct RegistryError: Error, Hashable, Sendable {
    /// The codes of the specification.
    enum Code: String, Sendable {
        case blobUnknown = "BLOB_UNKNOWN"
        case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
        case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
        case denied = "DENIED"
        case digestInvalid = "DIGEST_INVALID"
        case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
        case manifestInvalid = "MANIFEST_INVALID"
        case manifestUnknown = "MANIFEST_UNKNOWN"
        case nameInvalid = "NAME_INVALID"
        case nameUnknown = "NAME_UNKNOWN"
        case sizeInvalid = "SIZE_INVALID"
        case tooManyRequests = "TOOMANYREQUESTS"
        case unauthorized = "UNAUTHORIZED"
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
    static let noRepository = RegistryError(.notFound, .nameUnknown, "there is no repository of that name")
    static let badName = RegistryError(.badRequest, .nameInvalid, "the name of the repository is not valid")
    static let badDigest = RegistryError(.badRequest, .digestInvalid, "the digest is not valid")
    static let badPage = RegistryError(.badRequest, .unsupported, "n must be a number")
    static let noUpload = RegistryError(
        .notFound, .blobUploadUnknown, "there is no such upload, or it waited too long for its next part")
    static let busyUpload = RegistryError(
        .conflict, .blobUploadInvalid, "another request is adding to this upload at the moment")
    static let tooManyUploads = RegistryError(
        .tooManyRequests, .tooManyRequests, "too many uploads are open, try again later")
    static let blobTooLarge = RegistryError(
        .payloadTooLarge, .sizeInvalid, "the blob is larger than this registry accepts")
    static let noDeletion = RegistryError(.methodNotAllowed, .unsupported, "this registry does not delete")
    static let unauthorized = RegistryError(.unauthorized, .unauthorized, "a name and its password are needed")
    static let denied = RegistryError(.forbidden, .denied, "this account may not do that")
    static let wrongMethod = RegistryError(.methodNotAllowed, .unsupported, "this address has no such method")
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
