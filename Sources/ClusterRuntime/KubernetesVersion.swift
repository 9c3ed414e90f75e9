import Report

/// A Kubernetes version, compared as numbers: 1.9 is before 1.10.
public struct KubernetesVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The major number.
    public let major: Int
    /// The minor number.
    public let minor: Int
    /// The patch number.
    public let patch: Int

    /// Makes a version.
    public init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Parses `v1.20.2`, `1.20.2`, `v1.20.2+k3s1` and `v1.31.0-rc.1`; what follows the numbers is dropped.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    public init(parsing text: String) throws(Failure) {
        let numbers = text.drop { $0 == "v" }.prefix { $0.isNumber || $0 == "." }.split(separator: ".").map { Int($0) }
        guard numbers.count == 3, let major = numbers[0], let minor = numbers[1], let patch = numbers[2] else {
            throw Failure(.invalidInput, "\"\(text)\" is not a Kubernetes version, expected one such as v1.20.2")
        }
        self.init(major, minor, patch)
    }

    /// `v1.20.2`.
    public var description: String { "v\(major).\(minor).\(patch)" }

    /// Older before newer.
    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    /// The path at which an API server tells whether it is ready, etcd included: `/readyz` is there from 1.16 on.
    var healthPath: String { self >= KubernetesVersion(1, 16) ? "/readyz" : "/healthz" }

    /// The configuration API that this version's kubeadm prefers. kubeadm goes on reading the one before for a while:
    /// v1beta2 up to 1.26 (kubernetes/kubernetes#114540), v1beta3 up to 1.35 (#136016).
    ///
    /// - Throws: `Failure` of kind `invalidInput` for versions before 1.15.
    var kubeadmAPI: KubeadmAPI {
        get throws(Failure) {
            switch self {
            case ..<KubernetesVersion(1, 15):
                throw Failure(.invalidInput, "Kubernetes \(self) is too old, sealer installs 1.15 and later")
            case ..<KubernetesVersion(1, 22): .v1beta2
            case ..<KubernetesVersion(1, 31): .v1beta3
            default: .v1beta4
            }
        }
    }

    /// Where kubeadm of this version looks for the control plane's images unless told otherwise.
    ///
    /// The name changed with 1.25 (kubernetes/kubernetes#109938), and with one patch release of each version that was
    /// maintained by then (#113388, #113393, #113395).
    public var defaultImageRepository: String {
        let isRenamed =
            switch minor {
            case ..<22: false
            case 22: patch >= 17
            case 23: patch >= 15
            case 24: patch >= 9
            default: true
            }
        return isRenamed || major > 1 ? "registry.k8s.io" : "k8s.gcr.io"
    }
}

/// The versions of kubeadm's configuration.
enum KubeadmAPI: String, CaseIterable, Comparable {
    case v1beta2 = "kubeadm.k8s.io/v1beta2"
    case v1beta3 = "kubeadm.k8s.io/v1beta3"
    case v1beta4 = "kubeadm.k8s.io/v1beta4"

    /// Older before newer.
    static func < (left: KubeadmAPI, right: KubeadmAPI) -> Bool { left.rawValue < right.rawValue }
}
