"""Serves `aura.users.v1.AuthenticationService`."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.interceptors.call import Context, user_agent_of
from aura.kernel.times import to_timestamp
from aura.users.api.presenters import authentication as presenters
from aura.users.api.presenters.user import role_from_proto
from aura.users.services.access import ServiceClients
from aura.users.services.authentication import Authentication, LoginSessions
from aura.users.services.email_change import EmailChanges
from aura.users.services.registration import RegistrationService
from aura.users.services.second_factor import SecondFactorService
from aura.users.services.signing_keys import KeyRotation, SigningKeys
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceServicer
from generated.aura.users.v1.json_web_key_pb2 import JsonWebKeySet


class AuthenticationServicer(AuthenticationServiceServicer):
    """Parses, calls, presents."""

    def __init__(
        self,
        *,
        registration: RegistrationService,
        authentication: Authentication,
        sessions: LoginSessions,
        email_changes: EmailChanges,
        second_factors: SecondFactorService,
        clients: ServiceClients,
        keys: SigningKeys,
        rotation: KeyRotation,
    ) -> None:
        self._registration = registration
        self._authentication = authentication
        self._sessions = sessions
        self._email_changes = email_changes
        self._second_factors = second_factors
        self._clients = clients
        self._keys = keys
        self._rotation = rotation

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Asks for an account."""
        await self._registration.register(
            email=request.email, password=request.password, display_name=request.display_name
        )
        return pb.RegisterResponse()

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, context: Context) -> pb.VerifyEmailResponse:
        """Creates the account that was asked for."""
        user_id = await self._registration.verify_email(
            email=request.email, code=request.code, password=request.password
        )
        return pb.VerifyEmailResponse(user_id=str(user_id))

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.TokenPair:
        """Begins a session."""
        tokens = await self._authentication.login(
            email=request.email, password=request.password, code=request.code, user_agent=user_agent_of(context)
        )
        return presenters.tokens_to_proto(tokens)

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.TokenPair:
        """Exchanges a refresh token."""
        return presenters.tokens_to_proto(await self._authentication.refresh(request.refresh_token))

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """Ends the present session."""
        await self._authentication.logout()
        return pb.LogoutResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.TokenPair:
        """Changes the password."""
        tokens = await self._authentication.change_password(
            current=request.current_password, new=request.new_password, user_agent=user_agent_of(context)
        )
        return presenters.tokens_to_proto(tokens)

    async def RequestEmailChange(
        self, request: pb.RequestEmailChangeRequest, context: Context
    ) -> pb.RequestEmailChangeResponse:
        """Sends a code to a new address."""
        await self._email_changes.request(password=request.password, new_email=request.new_email)
        return pb.RequestEmailChangeResponse()

    async def ConfirmEmailChange(
        self, request: pb.ConfirmEmailChangeRequest, context: Context
    ) -> pb.ConfirmEmailChangeResponse:
        """Changes the address."""
        await self._email_changes.confirm(request.code)
        return pb.ConfirmEmailChangeResponse()

    async def RequestPasswordReset(
        self, request: pb.RequestPasswordResetRequest, context: Context
    ) -> pb.RequestPasswordResetResponse:
        """Sends a code for a new password."""
        await self._registration.request_reset(request.email)
        return pb.RequestPasswordResetResponse()

    async def ResetPassword(self, request: pb.ResetPasswordRequest, context: Context) -> pb.ResetPasswordResponse:
        """Sets a new password."""
        await self._registration.reset(email=request.email, code=request.code, new_password=request.new_password)
        return pb.ResetPasswordResponse()

    async def EnrollTotp(self, request: pb.EnrollTotpRequest, context: Context) -> pb.EnrollTotpResponse:
        """Begins to set up an authenticator app."""
        enrolment = await self._second_factors.enroll(request.password)
        return pb.EnrollTotpResponse(secret=enrolment.secret, uri=enrolment.uri)

    async def ConfirmTotp(self, request: pb.ConfirmTotpRequest, context: Context) -> pb.ConfirmTotpResponse:
        """Completes the set-up."""
        return pb.ConfirmTotpResponse(recovery_codes=await self._second_factors.confirm(request.code))

    async def DisableTotp(self, request: pb.DisableTotpRequest, context: Context) -> pb.DisableTotpResponse:
        """Does without the app again."""
        await self._second_factors.disable(request.password, request.code)
        return pb.DisableTotpResponse()

    async def ListLoginSessions(
        self, request: pb.ListLoginSessionsRequest, context: Context
    ) -> pb.ListLoginSessionsResponse:
        """Lists a user's sessions."""
        found = await self._sessions.of_user(UUID(request.user_id))
        shown = (presenters.session_to_proto(each, current=self._sessions.is_current(each)) for each in found)
        return pb.ListLoginSessionsResponse(sessions=shown)

    async def RevokeLoginSession(
        self, request: pb.RevokeLoginSessionRequest, context: Context
    ) -> pb.RevokeLoginSessionResponse:
        """Ends a session."""
        await self._authentication.end(UUID(request.user_id), UUID(request.session_id))
        return pb.RevokeLoginSessionResponse()

    async def CreateServiceClient(
        self, request: pb.CreateServiceClientRequest, context: Context
    ) -> pb.CreateServiceClientResponse:
        """Creates a client."""
        client_id, secret = await self._clients.create(
            display_name=request.display_name, services=tuple(request.services)
        )
        return pb.CreateServiceClientResponse(client_id=str(client_id), client_secret=secret)

    async def RevokeServiceClient(
        self, request: pb.RevokeServiceClientRequest, context: Context
    ) -> pb.RevokeServiceClientResponse:
        """Takes a client out of use."""
        await self._clients.revoke(UUID(request.client_id))
        return pb.RevokeServiceClientResponse()

    async def IssueServiceToken(
        self, request: pb.IssueServiceTokenRequest, context: Context
    ) -> pb.IssueServiceTokenResponse:
        """Gives a client an access token."""
        token, expire_time = await self._clients.token(client_id=UUID(request.client_id), secret=request.client_secret)
        return pb.IssueServiceTokenResponse(access_token=token, expire_time=to_timestamp(expire_time))

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> JsonWebKeySet:
        """Returns the public keys."""
        return JsonWebKeySet(keys=map(presenters.key_to_proto, await self._keys.published()))

    async def RotateSigningKey(
        self, request: pb.RotateSigningKeyRequest, context: Context
    ) -> pb.RotateSigningKeyResponse:
        """Makes a new key."""
        key = await self._rotation.rotate()
        return pb.RotateSigningKeyResponse(key_id=key.key_id, activate_time=to_timestamp(key.activate_time))

    async def CreateAccount(self, request: pb.CreateAccountRequest, context: Context) -> pb.CreateAccountResponse:
        """Creates an account without mail."""
        user_id, password = await self._registration.create(
            email=request.email,
            display_name=request.display_name,
            roles=tuple(map(role_from_proto, request.roles)),
            password=request.password,
            only_first_admin=request.only_first_admin,
        )
        return pb.CreateAccountResponse(user_id=str(user_id), password=password)
