import FoundationEssentials
import OCI

extension BootstrapToken {
    /// The Secret that makes the token known to the cluster (Kubernetes, "Authenticating with Bootstrap Tokens").
    func secret(validFor lifetime: Duration, from now: Date) throws -> Data {
        struct Secret: Encodable {
            struct Metadata: Encodable {
                var name: String
                let namespace = "kube-system"
            }
            let apiVersion = "v1"
            let kind = "Secret"
            let type = "bootstrap.kubernetes.io/token"
            var metadata: Metadata
            var stringData: [String: String]
        }
        let end = now.addingTimeInterval(TimeInterval(lifetime.components.seconds))
        return try canonicalJSON(
            Secret(
                metadata: .init(name: "bootstrap-token-\(identifier)"),
                stringData: [
                    "token-id": identifier,
                    "token-secret": String(text.dropFirst(identifier.count + 1)),
                    // RFC 3339, with the zone: without it the cluster takes the token for one that has expired.
                    "expiration": end.formatted(Date.ISO8601FormatStyle()),
                    "usage-bootstrap-authentication": "true",
                    "usage-bootstrap-signing": "true",
                    "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
                ]))
    }
}
